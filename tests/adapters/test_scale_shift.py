import copy

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import nn
from vits import vit_base

from sdlora.adapters.scale_shift import ScaleShift, ShiftedLayer, scale_and_shift
from sdlora.backbones.glyph_vit import glyph_vit


def small_vit() -> VisionTransformer:
    torch.manual_seed(0)
    return VisionTransformer(img_size=16, patch_size=8, embed_dim=32, depth=2, num_heads=2, num_classes=0).eval()


def images(count: int = 3) -> torch.Tensor:
    return torch.rand(count, 3, 16, 16, generator=torch.Generator().manual_seed(2))


def test_counts_at_vit_base():
    model = copy.deepcopy(vit_base()).model
    made = scale_and_shift(model)
    assert len(made) == 12 * 6 + 2
    assert sum(p.numel() for p in made.parameters()) == 205_824


def test_starts_near_the_identity():
    torch.manual_seed(0)
    layer = ScaleShift(100_000)
    for values, centre in ((layer.scale.detach(), 1.0), (layer.shift.detach(), 0.0)):
        assert abs(float(values.mean()) - centre) < 1e-3
        assert abs(float(values.std()) - 0.02) < 1e-3


def test_is_the_equation_channel_by_channel():
    torch.manual_seed(0)
    x, image = torch.randn(2, 3, 4), torch.randn(2, 3, 8, 8)
    for base, given in ((nn.Linear(4, 5), x), (nn.LayerNorm(4), x), (nn.Conv2d(3, 5, 4, 4), image)):
        layer = ShiftedLayer(base, ScaleShift(base.weight.shape[0]))
        y, (scale_shift,) = base(given), layer._shared
        for channel in range(base.weight.shape[0]):
            where = (slice(None), channel) if given is image else (..., channel)
            expected = y[where] * scale_shift.scale[channel] + scale_shift.shift[channel]
            assert torch.allclose(layer(given)[where], expected)


def test_stands_behind_every_map_and_norm():
    model = small_vit()
    scale_and_shift(model)
    names = {name for name, module in model.named_modules() if isinstance(module, ShiftedLayer)}
    in_block = ("norm1", "attn.qkv", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2")
    assert names == {"patch_embed.proj", "norm", *(f"blocks.{b}.{name}" for b in range(2) for name in in_block)}


def test_scale_one_and_shift_zero_change_nothing():
    for model, size in ((small_vit(), 16), (glyph_vit().eval(), 32)):
        x = torch.rand(2, 3, size, size)
        expected = model(x)
        for layer in scale_and_shift(model):
            layer.scale.data.fill_(1)
            layer.shift.data.zero_()
        assert torch.allclose(model(x), expected, atol=1e-6)


def test_the_model_owns_none_and_a_copy_has_its_own():
    model = small_vit()
    made = scale_and_shift(model)
    assert not {id(p) for p in model.parameters()} & {id(p) for p in made.parameters()}
    twin, expected = copy.deepcopy(nn.ModuleList([model, made])), model(images())
    for parameter in twin[1].parameters():
        parameter.data += 1
    assert torch.equal(model(images()), expected)
    assert not torch.allclose(twin[0](images()), expected)
