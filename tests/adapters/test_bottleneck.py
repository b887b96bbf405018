import copy
import math
import threading

import pytest
import torch
from timm.models.vision_transformer import ResPostBlock, VisionTransformer
from torch import nn
from vits import vit_base

from sdlora.adapters.bottleneck import Bottleneck, Bottlenecks, bottleneck_width, using
from sdlora.errors import ConfigError

CPU = torch.device("cpu")


def small_vit(**options) -> VisionTransformer:
    torch.manual_seed(0)
    options = {"img_size": 16, "patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 2, **options}
    return VisionTransformer(num_classes=0, **options).eval()


def adapted(num_adapters: int = 1, **options) -> tuple[VisionTransformer, Bottlenecks]:
    model = small_vit(**options)
    bottlenecks = Bottlenecks(model.blocks, width=8)
    for _ in range(num_adapters):
        bottlenecks.add(32, CPU)
    for parameter in bottlenecks.parameters():
        parameter.data += 0.3 * torch.randn(parameter.shape)
    return model, bottlenecks


def images(count: int = 3) -> torch.Tensor:
    return torch.rand(count, 3, 16, 16, generator=torch.Generator().manual_seed(2))


def test_is_the_equation():
    adapter, x = Bottleneck(6, 3).double(), torch.randn(2, 4, 6).double()
    for parameter in adapter.parameters():
        parameter.data.normal_()
    hidden = torch.clamp(x @ adapter.down.weight.T + adapter.down.bias, min=0)
    assert torch.allclose(adapter(x), 0.1 * (hidden @ adapter.up.weight.T + adapter.up.bias))


def test_starts_as_no_change():
    torch.manual_seed(0)
    adapter = Bottleneck(768, 64)
    assert not any(p.any() for p in (adapter.down.bias, adapter.up.weight, adapter.up.bias))
    bound = 1 / math.sqrt(768)
    assert bound * 0.999 < adapter.down.weight.abs().max() <= bound
    assert float(adapter.down.weight.detach().var()) == pytest.approx(bound**2 / 3, rel=0.02)


def test_counts_at_vit_base():
    backbone = copy.deepcopy(vit_base())
    bottlenecks = Bottlenecks(backbone.model.blocks, width=bottleneck_width(768, None))
    bottlenecks.add(768, CPU)
    assert sum(p.numel() for p in bottlenecks.stacks[0].parameters()) == 99_136
    assert sum(p.numel() for p in bottlenecks.parameters()) == 1_189_632


@pytest.mark.parametrize(("dim", "width", "expected"), [(768, None, 64), (192, None, 48), (32, None, 8), (32, 40, 40)])
def test_width_is_at_most_a_quarter_unless_given(dim, width, expected):
    assert bottleneck_width(dim, width) == expected


def test_refuses_a_width_of_zero():
    with pytest.raises(ConfigError, match="adapter_width = 0"):
        bottleneck_width(32, 0)


@pytest.mark.parametrize("options", [{}, {"init_values": 0.5}])
def test_stands_beside_the_mlp(options):
    model, bottlenecks = adapted(**options)
    plain = small_vit(**options)
    x = model.patch_embed(images())
    expected = model._pos_embed(x)
    for block, stack in zip(plain.blocks, bottlenecks.stacks, strict=True):
        middle = expected + block.ls1(block.attn(block.norm1(expected)))
        expected = middle + block.ls2(block.mlp(block.norm2(middle))) + stack[0](middle)
    assert torch.allclose(model.forward_features(images()), plain.norm(expected), atol=1e-6)


def test_without_or_with_a_fresh_adapter_every_bit_stays():
    model, expected = small_vit(), small_vit()(images())
    bottlenecks = Bottlenecks(model.blocks, width=8)
    assert torch.equal(model(images()), expected)
    bottlenecks.add(32, CPU)
    assert torch.equal(model(images()), expected)


def test_refuses_blocks_of_another_kind():
    model = small_vit(block_fn=ResPostBlock)
    with pytest.raises(ConfigError, match="ResPostBlock"):
        Bottlenecks(model.blocks, width=8)


def test_the_model_owns_no_adapter():
    model, bottlenecks = adapted(2)
    assert len(bottlenecks) == 2
    assert not {id(p) for p in model.parameters()} & {id(p) for p in bottlenecks.parameters()}


def test_only_the_newest_learns():
    _, bottlenecks = adapted(3)
    trained = {name.split(".")[2] for name, p in bottlenecks.named_parameters() if p.requires_grad}
    assert trained == {"2"}


def test_using_chooses_the_adapter():
    model, bottlenecks = adapted(2)
    newest = model(images())
    with using(0):
        oldest = model(images())
        with using(1):
            assert torch.equal(model(images()), newest)
        assert torch.equal(model(images()), oldest)
    assert torch.equal(model(images()), newest)
    assert not torch.allclose(oldest, newest)
    for stack in bottlenecks.stacks:
        del stack[1]
    assert torch.equal(model(images()), oldest)


def test_drops_units_only_when_told():
    model, _ = adapted()
    model.train()
    expected = model(images())
    assert torch.equal(model(images()), expected)
    with using(dropout=True):
        torch.manual_seed(1)
        dropped = model(images())
        torch.manual_seed(1)
        assert torch.equal(model(images()), dropped)
        assert not torch.equal(dropped, expected)
    assert torch.equal(model(images()), expected)


def test_threads_do_not_mix():
    model, _ = adapted(2)
    with using(0):
        expected = model(images())
    inside, results = threading.Barrier(2), {}

    def run(index: int) -> None:
        with torch.no_grad(), using(index):
            inside.wait(10)
            results[index] = model(images())
            inside.wait(10)

    threads = [threading.Thread(target=run, args=(index,)) for index in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert torch.equal(results[0], expected)
    assert not torch.equal(results[0], results[1])


def test_a_copy_has_adapters_of_its_own():
    model, bottlenecks = adapted()
    both = nn.ModuleList([model, bottlenecks])
    twin, expected = copy.deepcopy(both), model(images())
    for parameter in twin[1].parameters():
        parameter.data += 1
    assert torch.equal(model(images()), expected)
    assert not torch.allclose(twin[0](images()), expected)
