import torch

from sdlora.costs.kept import kept_bytes, kept_numbers, origin_of


def test_bytes_are_those_of_the_named_entries(taught):
    method, *_ = taught("ease")
    assert kept_bytes(method) == {"samples": 0, "features": 0, "statistics": 4 * 6 * 3 * 32}  # K x T means of width D
    assert kept_numbers(method) == 6 * 3 * 32


def test_weights_are_the_model_and_not_kept(taught):
    method, *_ = taught("simplecil")
    assert origin_of(method, "head.means") == "weights"
    assert kept_numbers(method) == 0


def test_every_kind_counts_on_its_own(taught):
    method, *_ = taught("probe")
    method.register_buffer("pictures", torch.zeros(5, 7, dtype=torch.uint8))
    method.register_buffer("vectors", torch.zeros(3, dtype=torch.float64))
    method.from_data = {"pictures": "samples", "vec*": "features"}
    assert kept_bytes(method) == {"samples": 35, "features": 24, "statistics": 0}
    assert kept_numbers(method) == 38


def test_what_gradients_gave_has_no_origin(taught):
    method, *_ = taught("inflora")
    assert origin_of(method, "backbone.model.blocks.0.attn.qkv.lora_B") is None
    assert origin_of(method, "backbone.model.blocks.0.attn.qkv.frozen_A") == "weights"
    assert origin_of(method, "subspaces.1.columns") == "statistics"
