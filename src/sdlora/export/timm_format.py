"""Export to timm: the merged model as timm saves one, with its head and the names of its classes.

What timm can build by name loads with ``timm.create_model("local-dir:FOLDER", pretrained=True)``. The shipped backbone
has a stem of convolutions that no name of timm stands for: there the folder holds the Python that builds it. A model
that predicts from several blocks is a `LayerClassifier` around timm's: there the folder holds the Python of that.
"""

from __future__ import annotations

import inspect
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import timm
from timm.models import save_for_hf
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from sdlora.backbones import glyph_vit
from sdlora.backbones.layer_classifier import LayerClassifier
from sdlora.bundle.history import MARK
from sdlora.errors import ConfigError
from sdlora.export.card import export_card
from sdlora.export.check import logits_check
from sdlora.export.folder import claim, finish, mark
from sdlora.export.latency import latency_ratio
from sdlora.export.layers import layer_files, layer_snippet, load_layers
from sdlora.export.parts import Parts, parts_of
from sdlora.export.report import Check, ExportReport
from sdlora.files import json_bytes, parse_tensors, tensor_bytes
from sdlora.methods.plain import plain_model

if TYPE_CHECKING:
    from sdlora.learner import Learner

LIMIT = 1e-5  # of logits: nothing but the fold's rounding
ANY_SIZE = "vit_base_patch16_224"
"""A name under which timm builds a plain vision transformer of any widths."""


def export_timm(taught: Learner | Parts, folder: str | Path) -> ExportReport:
    """Write a folder from which timm loads the merged model.

    Args:
        taught: What has learned.
        folder: Where it goes; an earlier export there is replaced.

    Raises:
        ConfigError: If the method cannot become a plain model, timm cannot hold it, or the folder is somebody else's.
        CheckError: If the written model does not give the same logits; it is kept as ``FOLDER.failed``.
        StorageError: If it cannot be written.
    """
    parts, path = parts_of(taught), Path(folder)
    claim(path)
    model = plain_model(parts.method, parts.classes)
    has_layers = isinstance(model, LayerClassifier)
    vit = model.vit if isinstance(model, LayerClassifier) else model
    if not isinstance(vit, VisionTransformer):
        itself = "" if has_layers else "; Learner.merge().save_pretrained(FOLDER) writes a model of transformers"
        raise ConfigError(
            f"a {type(vit).__name__} cannot become a model of timm",
            expected="a backbone of timm",
            fix=f"--to peft or --to onnx{itself}",
        )
    by_name = not isinstance(vit.patch_embed, glyph_vit.ConvStem)
    files, use = _named(parts, vit, path.name) if by_name else _with_stem(parts, vit, path.name)
    if isinstance(model, LayerClassifier):
        files |= layer_files(tuple(model.layers), model.head)
        use = f"{use}\n{layer_snippet(path.name)}"
    files |= {"labels.json": json_bytes(list(parts.classes)), MARK: mark(parts, "timm")}
    files["README.md"] = export_card(parts, "timm", f"```python\n{use}\n```\n{_EYES}", files)
    mean, std = parts.backbone.statistics()
    side = parts.backbone.image_size

    def check(made: Path) -> Check:
        loaded: nn.Module = (
            timm.create_model(f"local-dir:{made}", pretrained=True)
            if by_name
            else _load_with_stem(made, vit.num_classes)
        )
        if has_layers:
            loaded = load_layers(made, loaded)
        return logits_check(parts, loaded.eval(), against=f"timm {timm.__version__}", limit=LIMIT)

    return finish(
        path,
        "timm",
        files,
        check,
        ratio=lambda: latency_ratio(parts, lambda images: model(parts.backbone.normalise(images))),
        lines=(
            f"Input   float32 (N, 3, {side}, {side}), RGB from 0 to 1, then (x - mean) / std; "
            f"mean {_plain(mean)}, std {_plain(std)}",
            f"Output  logits, float32 (N, {len(parts.classes)}); column i is entry i of labels.json",
        ),
        next_step=f"see {path.name}/README.md: a classifier of timm's own sees only the last block"
        if has_layers
        else f'timm.create_model("local-dir:{path.name}", pretrained=True)'
        if by_name
        else f"see {path.name}/README.md: timm has no name for this backbone's stem",
    )


_EYES = """
The model takes normalised images: `pretrained_cfg`, or `preprocessing.json`, holds mean and deviation, size and crop.
"""


def _named(parts: Parts, model: VisionTransformer, name: str) -> tuple[dict[str, bytes], str]:
    """Return configuration and weights for a model that timm can build by name."""
    known: dict[str, Any] = dict(getattr(model, "pretrained_cfg", None) or {})
    arguments: dict[str, Any] | None = None
    if not timm.is_model(str(known.get("architecture"))):
        arguments = _arguments(model, parts.backbone.name)
        known |= {"architecture": ANY_SIZE, "first_conv": "patch_embed.proj", "classifier": "head", "pool_size": None}
        known["input_size"] = (3, parts.backbone.image_size, parts.backbone.image_size)
    mean, std = parts.backbone.statistics()
    side = parts.backbone.image_size
    anything: Any = model
    anything.pretrained_cfg = known
    seen = {"input_size": (3, side, side), "mean": mean, "std": std, "interpolation": "bicubic"}
    with tempfile.TemporaryDirectory() as folder:
        save_for_hf(
            model,
            folder,
            model_config={"label_names": list(parts.classes)},
            model_args=arguments,
            data_config={**seen, "crop_pct": parts.augment.test_crop},
            safe_serialization=True,
        )
        files = {file.name: file.read_bytes() for file in sorted(Path(folder).iterdir())}
    return files, f'import timm\nmodel = timm.create_model("local-dir:{name}", pretrained=True).eval()'


def _arguments(model: VisionTransformer, name: str) -> dict[str, Any]:
    """Describe a model that was built without a name of timm's.

    Raises:
        ConfigError: If it has parts that timm cannot build by name.
    """
    try:
        arguments = _shape(model)
        like = timm.create_model(ANY_SIZE, pretrained=False, num_classes=model.num_classes, **arguments)
        like.load_state_dict(model.state_dict(), strict=True)
    except (TypeError, AttributeError, RuntimeError) as error:
        raise ConfigError(
            f"timm cannot build backbone {name} by name: {str(error).splitlines()[0]}",
            expected="a plain VisionTransformer",
            fix="--to onnx",
        ) from error
    return arguments


def _shape(model: VisionTransformer) -> dict[str, Any]:
    """Return the arguments of a plain VisionTransformer that its modules tell of."""
    block: Any = model.blocks[0]
    return {
        "img_size": model.patch_embed.img_size[0],
        "patch_size": model.patch_embed.patch_size[0],
        "embed_dim": model.embed_dim,
        "depth": len(model.blocks),
        "num_heads": block.attn.num_heads,
        "mlp_ratio": block.mlp.fc1.out_features / model.embed_dim,
        "qkv_bias": block.attn.qkv.bias is not None,
        "qk_norm": not isinstance(block.attn.q_norm, nn.Identity),
        "init_values": None if isinstance(block.ls1, nn.Identity) else float(block.ls1.gamma.detach().flatten()[0]),
        "class_token": model.has_class_token,
        "reg_tokens": model.num_reg_tokens,
        "no_embed_class": model.no_embed_class,
        "global_pool": model.global_pool,
        "pre_norm": not isinstance(model.norm_pre, nn.Identity),
    }


def _with_stem(parts: Parts, model: VisionTransformer, name: str) -> tuple[dict[str, bytes], str]:
    """Return weights, and the Python that builds the model around them."""
    mean, std = parts.backbone.statistics()
    seen = {
        "image_size": parts.backbone.image_size,
        "shorter_side": parts.shorter_side,
        "filter": "bicubic",
        "mean": mean,
        "std": std,
    }
    files = {
        "glyph_vit.py": inspect.getsource(glyph_vit).encode(),
        "model.safetensors": tensor_bytes(model.state_dict()),
        "preprocessing.json": json_bytes(seen),
    }
    use = "\n".join(
        [
            "import sys",
            "from safetensors.torch import load_file",
            f'sys.path.insert(0, "{name}")',
            "from glyph_vit import glyph_vit  # timm has no name for this stem of convolutions",
            f"model = glyph_vit(num_classes={model.num_classes}).eval()",
            f'model.load_state_dict(load_file("{name}/model.safetensors"))',
        ]
    )
    return files, use


def _load_with_stem(folder: Path, num_classes: int) -> nn.Module:
    """Do what the card says; the Python in the folder is a copy of the module that is used here."""
    model = glyph_vit.glyph_vit(num_classes=num_classes)
    model.load_state_dict(parse_tensors((folder / "model.safetensors").read_bytes()), strict=True)
    return model


def _plain(numbers: tuple[float, ...]) -> str:
    return ", ".join(f"{number:g}" for number in numbers)
