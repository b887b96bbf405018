import math

import pytest
import torch
import torch.nn.functional as F

from sdlora.heads import LinearHead


def test_logits_stand_in_the_order_of_arrival():
    head = LinearHead(4)
    head.grow(3)
    head.grow(2)
    features = torch.randn(5, 4)
    logits = head(features)
    assert logits.shape == (5, 5)
    assert torch.equal(logits[:, 3:], head.current(features))


def test_old_blocks_are_frozen_and_only_the_newest_learns():
    head = LinearHead(4)
    head.grow(3)
    head.grow(2)
    assert [p.requires_grad for p in head.parameters()] == [False, False, True, True]


def test_the_loss_is_local():
    """Against the full logits with everything but the current task at minus infinity, in float64."""
    head = LinearHead(4).double()
    head.grow(3)
    head.grow(2)
    head.double()
    features = torch.randn(6, 4, dtype=torch.float64)
    labels = torch.tensor([3, 4, 4, 3, 3, 4])
    masked = head(features).clone()
    masked[:, :3] = -math.inf
    assert head.loss(features, labels).item() == pytest.approx(F.cross_entropy(masked, labels).item(), rel=1e-6)


@pytest.mark.parametrize(("init", "bound"), [("released", math.sqrt(3 / 256)), ("default", 0.1)])
def test_initial_values(init, bound):
    torch.manual_seed(0)
    head = LinearHead(256, init=init)
    head.grow(200)
    weight = head.blocks[0].weight
    assert weight.abs().max() <= bound
    expected = bound / math.sqrt(3) if init == "released" else 0.02
    assert weight.std().item() == pytest.approx(expected, rel=0.02)
    assert not head.blocks[0].bias.any()
