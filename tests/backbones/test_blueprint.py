"""H2, H5: what a blueprint may say, and that it is plain data within bounds."""

import json

import pytest
from backbones.hugging_face_models import make
from pydantic import TypeAdapter, ValidationError
from vits import own_vit

from sdlora.backbones.blueprint import MAX_PATCHES, AnyBlueprint
from sdlora.backbones.builder import blueprint_of
from sdlora.backbones.vit import backbone_of

TIMM = blueprint_of(backbone_of(own_vit()).model).model_dump(mode="json")
DINOV2 = blueprint_of(backbone_of(make("Dinov2Model")).model).model_dump(mode="json")
ANY = TypeAdapter(AnyBlueprint)


def read(document):
    return ANY.validate_json(json.dumps(document))


@pytest.mark.parametrize("document", [TIMM, DINOV2], ids=["timm", "transformers"])
def test_it_comes_back_from_json_as_it_was(document):
    assert read(document).model_dump(mode="json") == document
    assert all(isinstance(value, int | float | str | None) for value in document.values())


@pytest.mark.parametrize("document", [TIMM, DINOV2], ids=["timm", "transformers"])
@pytest.mark.parametrize("value", [0, -1, 2**63, 1.5, True, "16", None, [16]])
@pytest.mark.parametrize("key", ["image_size", "patch_size", "width", "depth", "num_heads"])
def test_sizes_are_whole_numbers_within_bounds(document, key, value):
    with pytest.raises(ValidationError, match=key):
        read(document | {key: value})


@pytest.mark.parametrize("document", [TIMM, DINOV2], ids=["timm", "transformers"])
def test_every_name_is_one_of_a_list_and_no_place(document):
    names = [key for key, value in document.items() if isinstance(value, str)]
    assert len(names) >= 4
    for key in names:
        for value in ("os.system", "torch.nn.GELU", "../x", "", "__import__('os')", "timm.layers.Mlp", 1, ["GELU"]):
            if (key, value) != ("global_pool", ""):
                with pytest.raises(ValidationError):
                    read(document | {key: value})


@pytest.mark.parametrize("document", [TIMM, DINOV2], ids=["timm", "transformers"])
def test_each_key_is_needed_and_no_other_is_known(document):
    for key in document:
        with pytest.raises(ValidationError):
            read({name: value for name, value in document.items() if name != key})
    with pytest.raises(ValidationError, match="embed_layer"):
        read(document | {"embed_layer": "os.system"})


@pytest.mark.parametrize(
    ("document", "changes", "words"),
    [
        (TIMM, {"num_heads": 3}, "3 heads do not divide a width of 32"),
        (TIMM, {"patch_size": 32}, "patches of 32 pixels in an image of 16"),
        (TIMM, {"image_size": 4096, "patch_size": 1}, f"more than {MAX_PATCHES}"),
        (TIMM, {"class_token": False}, "a class token that there is none of"),
        (TIMM, {"stem_norm": "LayerNorm"}, "go together"),
        (TIMM, {"stem": "ConvStem", "patch_size": 4}, "patches of 8 pixels"),
        (TIMM, {"mlp": "SwiGLUPacked", "mlp_dim": 65}, "65 cannot be halved"),
        (TIMM, {"norm_eps": -1e-6}, "norm_eps"),
        (TIMM, {"mlp_dim": 65_537}, "mlp_dim"),
        (DINOV2, {"mlp_ratio": None}, "DINOv2 has a ratio"),
        (DINOV2, {"mlp_dim": 8}, "DINOv2 has a ratio"),
        (DINOV2, {"model_type": "vit"}, "DINOv2 has a ratio"),
    ],
)
def test_values_that_do_not_go_together_are_refused(document, changes, words):
    with pytest.raises(ValidationError, match=words):
        read(document | changes)


def test_images_of_another_side_are_for_models_that_stretch_their_positions():
    fixed, stretching, padding = (
        read(TIMM | {"dynamic_img_size": is_dynamic, "dynamic_img_pad": pads})
        for is_dynamic, pads in ((False, False), (True, False), (True, True))
    )
    fixed.check_image_size(16)
    for blueprint in (stretching, padding, read(DINOV2)):
        blueprint.check_image_size(32)
    padding.check_image_size(33)
    for blueprint, side in ((fixed, 32), (stretching, 33), (stretching, 4), (read(DINOV2), 4)):
        with pytest.raises(ValueError, match=f"images of {side} pixels for a model of 16"):
            blueprint.check_image_size(side)
    with pytest.raises(ValueError, match="are more than"):
        stretching.check_image_size(8 * 129)
