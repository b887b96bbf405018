import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from sdlora.adapters.inject import adapters_of, inject
from sdlora.adapters.lora import LoRALinear
from sdlora.adapters.merge import merge, merge_, merged, unmerge_
from sdlora.adapters.presets import PRESETS
from sdlora.adapters.ranks import RankSchedule
from sdlora.adapters.sdlora import SDLoRAAdapters
from sdlora.backbones.vit import untrained_vit
from sdlora.errors import ConfigError

TARGETS = ("qkv:q", "qkv:v", "mlp.fc1")
TOLERANCES = [(torch.float32, 1e-5), (torch.float64, 1e-12), (torch.bfloat16, 1e-2)]


def adapted(preset="continuous", tasks=3, dtype=torch.float32, rank=4):
    """Return a backbone after some tasks, with made-up directions and magnitudes."""
    backbone = untrained_vit().to(dtype)
    torch.manual_seed(0)
    adapters = SDLoRAAdapters(backbone.model, TARGETS, preset=PRESETS.get(preset), ranks=RankSchedule.of(rank))
    for task in range(tasks):
        adapters.begin_task(task)
        with torch.no_grad():
            adapters.magnitudes.values.normal_()
            for part in adapters.directions:
                part.lora_B.normal_(std=0.1)
    return backbone, adapters


def images(dtype=torch.float32):
    return torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(1)).to(dtype)


@pytest.mark.parametrize("preset", list(PRESETS))
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12), (torch.bfloat16, 1e-2)]
)
def test_merged_equals_unmerged(preset, dtype, tolerance):
    backbone, _ = adapted(preset, dtype=dtype)
    expected, found = backbone(images(dtype)).double(), merge(backbone)(images(dtype)).double()
    assert float((found - expected).detach().norm() / expected.detach().norm()) <= tolerance


def test_the_merged_model_has_the_types_and_keys_of_the_untouched_one():
    untouched, (backbone, _) = untrained_vit(), adapted()
    merged = merge(backbone)
    assert [(n, type(m)) for n, m in merged.named_modules()] == [(n, type(m)) for n, m in untouched.named_modules()]
    assert [(k, v.shape) for k, v in merged.state_dict().items()] == [
        (k, v.shape) for k, v in untouched.state_dict().items()
    ]
    untouched.load_state_dict(merged.state_dict(), strict=True)
    assert torch.equal(untouched(images()), merged(images()))
    changed = [k for k, v in untrained_vit().state_dict().items() if not torch.equal(v, merged.state_dict()[k])]
    assert changed == [f"model.blocks.{i}.{layer}.weight" for i in range(2) for layer in ("attn.qkv", "mlp.fc1")]


def test_merging_in_place_and_back_restores_the_bits_and_the_very_adapters():
    backbone, _ = adapted()
    modules = [id(module) for module in backbone.modules()]
    state = {key: value.clone() for key, value in backbone.state_dict().items()}
    expected = backbone(images())
    adapters = merge_(backbone)
    assert not any(isinstance(module, LoRALinear) for module in backbone.modules())
    unmerge_(backbone, adapters)
    assert [id(module) for module in backbone.modules()] == modules
    assert all(torch.equal(backbone.state_dict()[key], value) for key, value in state.items())
    assert torch.equal(backbone(images()), expected)


def test_a_merged_copy_shares_nothing():
    backbone, _ = adapted()
    expected, merged = backbone(images()), merge(backbone)
    with torch.no_grad():
        for parameter in merged.parameters():
            parameter.zero_()
    assert torch.equal(backbone(images()), expected)


def test_what_is_merged_costs_nothing_more():
    counts = []
    for model in (untrained_vit(), merge(adapted(tasks=5)[0])):
        with FlopCounterMode(display=False) as counter:
            model(images())
        counts.append(counter.get_total_flops())
    assert counts[0] == counts[1]


def test_a_model_without_adapters_is_copied():
    backbone = untrained_vit()
    assert torch.equal(merge(backbone)(images()), backbone(images()))


def test_a_bare_adapter_is_refused_and_left_alone():
    backbone = untrained_vit()
    adapter = next(iter(inject(backbone, ["fc1"], lambda b, r: LoRALinear(b, r, rank=1, alpha=1.0)).values()))
    with pytest.raises(ConfigError, match="wrap it"):
        merge(adapter)


def test_after_two_hundred_tasks_merged_equals_unmerged():
    backbone, adapters = adapted(tasks=200, rank=2)
    expected = backbone(images()).detach()
    found = merge(backbone)(images())
    assert len(adapters.magnitudes) == 200
    assert float((found - expected).norm() / expected.norm()) <= 1e-5


def test_a_model_is_merged_within_a_block_and_put_back_whatever_happens():
    backbone, _ = adapted()
    modules, expected = [id(module) for module in backbone.modules()], merge(backbone)(images())
    with pytest.raises(KeyboardInterrupt), merged(backbone):  # noqa: PT012
        assert torch.equal(backbone(images()), expected)
        assert not adapters_of(backbone)
        raise KeyboardInterrupt
    assert [id(module) for module in backbone.modules()] == modules
