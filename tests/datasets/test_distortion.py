import pytest
import torch

from sdlora.datasets.distortion import PICTURE, add_noise, bend, coarsen, distort, paint, uniform, vary_strokes
from sdlora.datasets.glyphs import draw_masters


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def masters():
    return torch.from_numpy(draw_masters(("A", "g", "Ж", "#"))).reshape(-1, 1, 48, 48).float() / 255


def test_pictures_are_in_range_and_all_different(masters):
    pictures = distort(masters, generator())
    assert pictures.shape == (48, 3, PICTURE, PICTURE)
    assert pictures.min() >= 0
    assert pictures.max() <= 1
    assert len(torch.unique(pictures.reshape(48, -1), dim=0)) == 48


def test_a_seed_fixes_every_pixel_and_the_global_generator_none(masters):
    torch.manual_seed(1)
    first = distort(masters, generator(3))
    torch.manual_seed(2)
    assert torch.equal(first, distort(masters, generator(3)))
    assert not torch.equal(first, distort(masters, generator(4)))


def test_ink_stands_out_from_paper():
    """Grey values of ink and paper stay apart by a good part of the 0.3 that `paint` asks for, in every picture."""
    ink = torch.zeros(200, 1, 16, 16)
    ink[..., 4:12, 4:12] = 1
    pictures = paint(ink, generator())
    grey = pictures.mean(dim=1)
    gap = (grey[:, 5:11, 5:11].mean(dim=(1, 2)) - grey[:, :3].mean(dim=(1, 2))).abs()
    assert gap.median() > 0.28
    assert (gap > 0.1).float().mean() > 0.97


def test_bending_by_nothing_is_resampling(masters):
    quiet = bend(masters, generator(), turn=0.0, shear=0.0, shift=0.0, elastic=0.0)
    assert quiet.shape == (48, 1, PICTURE, PICTURE)
    ratio = quiet.mean(dim=(1, 2, 3)) / masters.mean(dim=(1, 2, 3))
    assert ((ratio > 0.5) & (ratio < 1.4)).all()


def test_strokes_grow_and_shrink(masters):
    many = masters[:1].expand(300, -1, -1, -1)
    change = vary_strokes(many, generator()).mean(dim=(1, 2, 3)) - masters[0].mean()
    same = (change.abs() < 1e-6).float().mean().item()
    assert same == pytest.approx(1 / 3, abs=0.1)
    assert (change > 1e-6).any()
    assert (change < -1e-6).any()


def test_coarsening_touches_its_share_and_only_removes_detail():
    pictures = torch.rand(500, 3, 32, 32, generator=generator())
    coarse = coarsen(pictures, generator(), share=0.2)
    touched = (coarse != pictures).flatten(1).any(dim=1)
    assert touched.float().mean().item() == pytest.approx(0.2, abs=0.06)
    assert coarse[touched].var() < 0.5 * pictures[touched].var()


def test_noise_has_the_stated_size():
    grey = torch.full((400, 3, 16, 16), 0.5)
    noise = (add_noise(grey, generator(), largest=0.1) - 0.5).flatten(1).std(dim=1)
    assert noise.max() < 0.11
    assert noise.mean().item() == pytest.approx(0.05, abs=0.01)


def test_uniform_bounds():
    numbers = uniform(generator(), -2.0, 3.0, 1000)
    assert numbers.min() >= -2
    assert numbers.max() <= 3
    assert numbers.mean().item() == pytest.approx(0.5, abs=0.2)
