"""H2: shapes are known before anything is allocated, and a model takes exactly its own tensors."""

import tracemalloc

import pytest
import torch
from vits import own_vit

from sdlora.backbones.blueprint import TimmBlueprint
from sdlora.backbones.builder import blueprint_of, built, outline
from sdlora.backbones.vit import backbone_of, digest

GIVEN = backbone_of(own_vit())
BLUEPRINT = blueprint_of(GIVEN.model)


def state():
    return {name: value.clone() for name, value in GIVEN.model.state_dict().items()}


def test_an_outline_has_the_shapes_and_no_numbers():
    found = outline(BLUEPRINT).state_dict()
    assert {name: value.shape for name, value in found.items()} == {name: v.shape for name, v in state().items()}
    assert all(value.is_meta for value in found.values())


def test_the_outline_of_the_largest_model_takes_next_to_nothing():
    largest = BLUEPRINT.model_copy(update={"width": 16_384, "mlp_dim": 65_536, "depth": 200, "image_size": 1024})
    largest = TimmBlueprint(**largest.model_dump())
    tracemalloc.start()
    numbers = sum(value.numel() for value in outline(largest).state_dict().values())
    assert tracemalloc.get_traced_memory()[1] < 50e6
    tracemalloc.stop()
    assert numbers > 6e11


def test_building_leaves_the_global_generator_alone():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    built(BLUEPRINT, state())
    assert torch.equal(torch.get_rng_state(), before)


def test_weights_are_taken_over_and_frozen():
    tensors = state()
    made = built(BLUEPRINT, tensors)
    assert made.norm.weight.data_ptr() == tensors["norm.weight"].data_ptr()
    assert not made.training
    assert not any(parameter.requires_grad for parameter in made.parameters())
    assert digest(made) == GIVEN.sha256


def test_other_tensors_are_refused():
    tensors = state()
    with pytest.raises(ValueError, match="Missing key"):
        built(BLUEPRINT, {name: value for name, value in tensors.items() if name != "norm.weight"})
    with pytest.raises(ValueError, match="Unexpected key"):
        built(BLUEPRINT, {**tensors, "extra": torch.ones(1)})
    with pytest.raises(ValueError, match=r"size mismatch for norm\.weight"):
        built(BLUEPRINT, {**tensors, "norm.weight": torch.ones(33)})


def test_what_timm_cannot_build_is_told():
    odd = BLUEPRINT.model_copy(update={"num_heads": 5})  # past its own checks
    with pytest.raises(ValueError, match="no such model can be built"):
        outline(odd)
