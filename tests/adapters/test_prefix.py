import copy
import threading

import pytest
import torch
from timm.models.vision_transformer import Attention, ParallelScalingBlock, VisionTransformer
from vits import attend, strong_vit, tokens_of

from sdlora.adapters.prefix import PrefixAttention, by_layer, inject_prefixes, prefixed
from sdlora.errors import ConfigError

WIDTH = 32


def images(count: int = 3) -> torch.Tensor:
    return torch.rand(count, 3, 16, 16, generator=torch.Generator().manual_seed(2))


def prefixes(*shape: int) -> torch.Tensor:
    return 2 * torch.rand(shape, generator=torch.Generator().manual_seed(3)) - 1


def small_vit(**options) -> VisionTransformer:
    torch.manual_seed(0)
    options = {"img_size": 16, "patch_size": 8, "embed_dim": WIDTH, "depth": 2, "num_heads": 2, **options}
    return VisionTransformer(num_classes=0, **options).eval()


@pytest.mark.parametrize("fused", [True, False])
def test_features_are_those_of_the_equation(fused):
    backbone, plain = strong_vit(depth=3), strong_vit(depth=3).double()
    for block in backbone.model.blocks:
        block.attn.fused_attn = fused
    layers = inject_prefixes(backbone.model, (0, 2))
    prompts = prefixes(3, 2, 2, 5, WIDTH)
    with prefixed(by_layer(layers, prompts)):
        got = backbone(images())
    for sample, feature in enumerate(got):
        own = dict(zip(layers, prompts[sample], strict=True))
        expected = tokens_of(plain, images()[sample], prefixes=own)[0]
        assert torch.allclose(feature.double(), expected, atol=1e-5)
        assert not torch.allclose(feature.double(), tokens_of(plain, images()[sample])[0], atol=1e-2)


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("options", [{}, {"qk_norm": True}, {"scale_norm": True}, {"gated": True}])
def test_every_form_of_the_attention(fused, options):
    torch.manual_seed(1)
    attention = Attention(WIDTH, num_heads=2, qkv_bias=True, norm_layer=torch.nn.LayerNorm, **options).double().eval()
    attention.fused_attn = fused
    x, prefix = torch.randn(2, 5, WIDTH).double(), prefixes(2, 2, 3, WIDTH).double()
    with prefixed({4: prefix}):
        got = PrefixAttention(attention, 4)(x)
    if attention.gate is None and "scale_norm" not in options:
        for sample in range(2):
            assert torch.allclose(got[sample], attend(attention, x[sample], prefix[sample]), atol=1e-10)
    with prefixed({4: prefix[:, :, :0]}):  # no rows: the attention itself, in all its forms
        assert torch.allclose(PrefixAttention(attention, 4)(x), attention(x), atol=1e-12)
    assert not torch.allclose(got, attention(x), atol=1e-3)


def test_gradients_are_those_of_the_equation():
    torch.manual_seed(1)
    attention = Attention(WIDTH, num_heads=2, qkv_bias=True).double()
    x, prefix = torch.randn(1, 4, WIDTH).double(), prefixes(1, 2, 3, WIDTH).double().requires_grad_()
    with prefixed({0: prefix}):
        (got,) = torch.autograd.grad(PrefixAttention(attention, 0)(x).square().sum(), prefix)
    (expected,) = torch.autograd.grad(attend(attention, x[0], prefix[0]).square().sum(), prefix)
    assert torch.allclose(got, expected, atol=1e-10)


def test_without_a_prefix_every_bit_stays():
    backbone = strong_vit()
    expected = backbone(images())
    inject_prefixes(backbone.model, (0, 1))
    assert torch.equal(backbone(images()), expected)
    with prefixed({7: prefixes(1, 2, 3, WIDTH)}):
        assert torch.equal(backbone(images()), expected)


def test_zeros_are_a_prefix_too():
    backbone = strong_vit()
    expected = backbone(images())
    inject_prefixes(backbone.model, (0,))
    with prefixed({0: torch.zeros(1, 2, 5, WIDTH)}):
        assert not torch.allclose(backbone(images()), expected, atol=1e-3)


def test_one_prefix_serves_the_whole_batch():
    backbone = strong_vit()
    inject_prefixes(backbone.model, (1,))
    prefix = prefixes(1, 2, 3, WIDTH)
    with prefixed({1: prefix}):
        shared = backbone(images())
    with prefixed({1: prefix.expand(3, -1, -1, -1)}):
        assert torch.equal(backbone(images()), shared)


def test_two_prefixes_of_a_block_are_one_long_one():
    backbone = strong_vit()
    inject_prefixes(backbone.model, (0, 1))
    general, expert = prefixes(1, 2, 2, WIDTH), prefixes(3, 2, 4, WIDTH)
    with prefixed({0: general, 1: general}, {1: expert}):
        got = backbone(images())
    with prefixed({0: general, 1: torch.cat([general.expand(3, -1, -1, -1), expert], dim=2)}):
        assert torch.equal(backbone(images()), got)


@pytest.mark.parametrize(
    ("asked", "depth", "taken"),
    [((0, 1, 2, 3, 4), 12, (0, 1, 2, 3, 4)), ((2, 3, 4), 4, (2, 3)), ((2, 3, 4), 2, (1,)), ((3, 0), 1, (0,))],
)
def test_published_lists_fit_any_depth(asked, depth, taken):
    model = small_vit(depth=depth)
    assert inject_prefixes(model, asked) == taken
    wrapped = [layer for layer, block in enumerate(model.blocks) if isinstance(block.attn, PrefixAttention)]
    assert wrapped == sorted(taken)


def test_injecting_again_adds_nothing():
    model = small_vit()
    inject_prefixes(model, (0,))
    inject_prefixes(model, (0, 1))
    assert isinstance(model.blocks[0].attn.base, Attention)


@pytest.mark.parametrize("layers", [(), (-1,), (0, 0)])
def test_lists_that_make_no_sense(layers):
    with pytest.raises(ConfigError, match="prompted layers"):
        inject_prefixes(small_vit(), layers)


def test_other_attentions_are_refused():
    with pytest.raises(ConfigError, match="block 0 has NoneType"):
        inject_prefixes(small_vit(block_fn=ParallelScalingBlock), (0,))
    with pytest.raises(ConfigError, match="block 1 has DiffAttention"):
        inject_prefixes(small_vit(attn_layer="diff"), (1,))


def test_layer_scale_and_register_tokens():
    model = small_vit(init_values=0.1, reg_tokens=2, qk_norm=True)
    plain = copy.deepcopy(model)
    inject_prefixes(model, (0, 1))
    with prefixed({0: prefixes(1, 2, 3, WIDTH)}):
        assert model(images()).shape == (3, WIDTH)
    assert torch.equal(model(images()), plain(images()))


def test_an_error_leaves_no_prefix_behind():
    backbone = strong_vit()
    inject_prefixes(backbone.model, (0,))
    expected = backbone(images())
    with pytest.raises(RuntimeError, match="stop"), prefixed({0: prefixes(1, 2, 3, WIDTH)}):
        raise RuntimeError("stop")
    assert torch.equal(backbone(images()), expected)


def test_a_prefix_is_inside_its_own_thread_alone():
    backbone = strong_vit()
    inject_prefixes(backbone.model, (0,))
    expected, seen = backbone(images()), []
    with prefixed({0: prefixes(1, 2, 3, WIDTH)}):
        thread = threading.Thread(target=lambda: seen.append(backbone(images())))
        thread.start()
        thread.join()
        assert not torch.equal(backbone(images()), expected)
    assert torch.equal(seen[0], expected)
