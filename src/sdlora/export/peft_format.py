"""Export to PEFT: what was learned as one LoRA adapter, all tasks side by side in its rank, and the head.

An adapted layer's weight is W0 + sum over factors of B diag(coef) A, each on its own rows. All factors together are one
pair of PEFT: the A under each other, and the B diag(coef) beside each other, zero in the rows that a factor does not
touch, such as those of the keys in a fused projection. alpha equals the rank, so PEFT scales by 1.
"""

from __future__ import annotations

import re
import tempfile
import warnings
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from sdlora.adapters.adapter import LinearAdapter
from sdlora.adapters.inject import adapters_of
from sdlora.backbones.hugging_face_cache import PREFIX
from sdlora.backbones.vit import SHIPPED, UNTRAINED, untrained_vit
from sdlora.bundle.history import MARK
from sdlora.errors import ConfigError
from sdlora.export.card import export_card
from sdlora.export.check import logits_check
from sdlora.export.extras import need
from sdlora.export.folder import claim, finish, mark
from sdlora.export.latency import latency_ratio
from sdlora.export.layers import layer_files, layer_snippet, load_layers
from sdlora.export.parts import Parts, parts_of, plain_backbone
from sdlora.export.report import Check, ExportReport
from sdlora.files import json_bytes, tensor_bytes
from sdlora.methods.base import METHODS
from sdlora.methods.linear_classifier import LinearClassifier
from sdlora.methods.plain import is_plain, name_of, predicting_layer

if TYPE_CHECKING:
    from sdlora.learner import Learner

LIMIT = 1e-5  # of logits: PEFT adds the update to the output, sdlora to the weight
ROOT = "base_model.model."  # in front of every name in a file of PEFT


def export_peft(taught: Learner | Parts, folder: str | Path) -> ExportReport:
    """Write a folder that ``peft.PeftModel.from_pretrained`` loads over the pretrained backbone.

    Args:
        taught: What has learned.
        folder: Where it goes; an earlier export there is replaced.

    Raises:
        ConfigError: If the method is not LoRA of some kind, PEFT is not installed, or the folder is somebody else's.
        CheckError: If the written adapter does not give the same logits; it is kept as ``FOLDER.failed``.
        StorageError: If it cannot be written.
    """
    need("peft", "peft", "transformers")
    import peft

    parts, path = parts_of(taught), Path(folder)
    claim(path)
    tensors = adapter_tensors(parts)
    files = {
        "adapter_config.json": _configuration(parts, tensors),
        "adapter_model.safetensors": tensor_bytes(tensors),
        "labels.json": json_bytes(list(parts.classes)),
        MARK: mark(parts, "peft"),
    }
    base = base_snippet(parts)
    use = f'{base}\nfrom peft import PeftModel\nmodel = PeftModel.from_pretrained(base, "{path.name}").eval()'
    if parts.layers:
        files |= layer_files(parts.layers, predicting_layer(cast(LinearClassifier, parts.method)))
        use = f"{use}\n{layer_snippet(path.name)}"
    peft_model = "model.vit" if parts.layers else "model"
    files["README.md"] = export_card(parts, "peft", f"```python\n{use}\n```\n{_HINTS.format(peft_model)}", files)
    timed: list[float] = []

    def check(made: Path) -> Check:
        fresh = plain_backbone(parts)
        if not parts.layers:
            blank = nn.Linear(parts.backbone.feature_dim, len(parts.classes))
            parts.backbone.family.set_head(fresh, blank, parts.classes)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # what PEFT asks of a model of transformers is being renamed
            adapted = peft.PeftModel.from_pretrained(fresh, str(made)).eval()
        _same_keys(tensors, peft.get_peft_model_state_dict(adapted, save_embedding_layers=False))
        loaded = load_layers(made, adapted) if parts.layers else adapted
        timed.append(latency_ratio(parts, lambda images: _logits(loaded(parts.backbone.normalise(images)))))
        return logits_check(
            parts, lambda images: _logits(loaded(images)), against=f"peft {peft.__version__}", limit=LIMIT
        )

    return finish(
        path,
        "peft",
        files,
        check,
        ratio=lambda: timed[0],
        lines=(
            f"Base    {next(line for line in base.splitlines() if line.startswith('base = '))}",
            f"Output  logits, float32 (N, {len(parts.classes)}); column i is entry i of labels.json",
            f"Merge   {peft_model}.merge_and_unload() folds it into the weights: as fast as the plain backbone",
        ),
        next_step=f'peft.PeftModel.from_pretrained(base, "{path.name}"), see {path.name}/README.md',
    )


_HINTS = """
The model takes images normalised as the backbone wants them. `{0} = {0}.merge_and_unload()` folds the adapter into the
weights, so that it costs no time.
"""


def adapter_tensors(parts: Parts) -> dict[str, Tensor]:
    """Return the tensors of a PEFT adapter: A and B of every layer that learned something, and the head.

    The head is not among them where it sees several blocks, for no module of the backbone has its shape.

    Raises:
        ConfigError: If what the method learned is no low-rank update of layers, its head is not linear, or it learned
            nothing.
    """
    adapters, method = adapters_of(parts.backbone.model), parts.method
    if not (isinstance(method, LinearClassifier) and method.mergeable and adapters):
        raise ConfigError(
            f"{name_of(method)} learns no low-rank updates: it trains {method.facts.trains}",
            expected=f"a model taught with {', '.join(_able())}",
            fix="--to timm or --to onnx" if is_plain(method) else "--to onnx",
        )
    head = predicting_layer(method)
    tensors: dict[str, Tensor] = {}
    for name, adapter in adapters.items():
        A, B = one_pair(adapter)
        if len(A):
            tensors[f"{ROOT}{name}.lora_A.weight"], tensors[f"{ROOT}{name}.lora_B.weight"] = A, B
    if not tensors:
        raise ConfigError("no layer learned anything, so there is no adapter", fix="--to timm or --to onnx")
    if parts.layers:
        return tensors
    place = f"{ROOT}{parts.backbone.family.head_name}"
    return {**tensors, f"{place}.weight": head.weight.detach(), f"{place}.bias": head.bias.detach()}


@torch.no_grad()
def one_pair(adapter: LinearAdapter) -> tuple[Tensor, Tensor]:
    """Return A (R, D_in) and B (D_out, R) whose product is the whole update of an adapter, R the sum of all ranks."""
    factors = [factor for factor in adapter.factors() if len(factor.coef)]
    wholes = []
    for (start, stop), coef, _, B in factors:
        whole = B.new_zeros(adapter.base.out_features, len(coef))
        whole[start:stop] = B * coef
        wholes.append(whole)
    empty = adapter.base.weight.new_empty
    A = torch.cat([empty(0, adapter.base.in_features), *(factor.A for factor in factors)])
    return A, torch.cat([empty(adapter.base.out_features, 0), *wholes], dim=1)


def base_snippet(parts: Parts) -> str:
    """Return Python that makes ``base``, the model that the adapter belongs to, with room for the classes if any."""
    name, count = parts.backbone.name, 0 if parts.layers else len(parts.classes)
    if name in (SHIPPED, UNTRAINED):
        return (
            "from sdlora.backbones.vit import load_backbone\n"
            f'base = load_backbone("{name}").model\nbase.reset_classifier({count})'
        )
    if name.startswith(PREFIX):
        repo, _, revision = name.removeprefix(PREFIX).partition("@")
        pinned = f', revision="{revision}"' if revision else ""
        kind = type(parts.backbone.model).__name__
        return f'from transformers import {kind}\nbase = {kind}.from_pretrained("{repo}"{pinned}, num_labels={count})'
    if "." in name:
        return f'import timm\nbase = timm.create_model("{name}", pretrained=True, num_classes={count})'
    given = f"the {type(parts.backbone.model).__name__} that was given to sdlora"
    return f"base = ...  # {given}, {f'with {count} classes' if count else 'without a classifier'}"


def _configuration(parts: Parts, tensors: dict[str, Tensor]) -> bytes:
    """Return ``adapter_config.json``, as PEFT writes it."""
    import peft

    ending = ".lora_A.weight"
    ranks = {key.removeprefix(ROOT).removesuffix(ending): len(A) for key, A in tensors.items() if key.endswith(ending)}
    usual = Counter(ranks.values()).most_common(1)[0][0]
    others = {f"^{re.escape(name)}": rank for name, rank in ranks.items() if rank != usual}
    configuration = peft.LoraConfig(
        r=usual,
        lora_alpha=usual,
        target_modules=sorted(ranks),
        rank_pattern=others,
        alpha_pattern=others,
        modules_to_save=None if parts.layers else [parts.backbone.family.head_name],
        base_model_name_or_path=_on_the_hub(parts.backbone.name),
        inference_mode=True,
    )
    configuration.target_modules = sorted(ranks)  # PEFT makes it a set, whose order would differ from run to run
    with tempfile.TemporaryDirectory() as folder:
        configuration.save_pretrained(folder)
        return (Path(folder) / "adapter_config.json").read_bytes()


def _on_the_hub(name: str) -> str | None:
    """Return the repository that a backbone's weights are fetched from, or None."""
    if name.startswith(PREFIX):
        return name.removeprefix(PREFIX).partition("@")[0]
    return f"timm/{name}" if "." in name else None


def _able() -> list[str]:
    """Return the names of the methods whose adapters are low-rank updates of layers, by looking at each."""
    mergeable = [name for name in METHODS if METHODS.get(name).mergeable]
    return [name for name in mergeable if adapters_of(METHODS.get(name)(untrained_vit()).backbone.model)]


def _same_keys(written: dict[str, Tensor], loaded: dict[str, Tensor]) -> None:
    assert written.keys() == loaded.keys(), sorted(written.keys() ^ loaded.keys())[:4]


def _logits(output: Any) -> Tensor:
    return output if isinstance(output, Tensor) else output.logits
