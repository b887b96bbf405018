import pytest
import torch

from sdlora.datasets.glyphs import draw_masters
from sdlora.datasets.renditions import RENDITIONS, render


@pytest.fixture(scope="module")
def masters():
    return torch.from_numpy(draw_masters(("A", "g"))).reshape(-1, 1, 48, 48).float() / 255


@pytest.mark.parametrize("name", RENDITIONS)
def test_a_rendition_is_a_mask_that_differs_from_the_master(name, masters):
    first = RENDITIONS[name](masters, torch.Generator().manual_seed(0))
    assert first.shape == masters.shape
    assert first.min() >= 0
    assert first.max() <= 1
    assert ((first - masters).abs().mean(dim=(1, 2, 3)) > 0.01).all()
    assert torch.equal(first, RENDITIONS[name](masters, torch.Generator().manual_seed(0)))


def test_all_renditions_occur(masters):
    many = masters[:1].expand(700, -1, -1, -1)
    rendered = render(many, torch.Generator().manual_seed(0))
    kind = torch.randint(0, len(RENDITIONS), (700,), generator=torch.Generator().manual_seed(0))
    counts = torch.bincount(kind, minlength=len(RENDITIONS))
    assert (counts > 60).all()
    outlines = rendered[kind == list(RENDITIONS).index("outline")]
    assert torch.equal(outlines[0], outlines[-1])
