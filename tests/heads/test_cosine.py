import math

import torch

from sdlora.heads.cosine import CosineHead


def test_is_the_equation():
    torch.manual_seed(0)
    head, features = CosineHead(6, 3), 4 * torch.randn(5, 6)
    head.sigma.data.fill_(2.5)
    logits = head(features)
    for n, f in enumerate(features):
        for c, w in enumerate(head.weight):
            expected = 2.5 * (f @ w) / (f.norm() * w.norm())
            assert torch.allclose(logits[n, c], expected, atol=1e-6)
    assert torch.allclose(head(3 * features), logits, atol=1e-6)


def test_starts_as_specified():
    torch.manual_seed(0)
    head = CosineHead(768, 50)
    bound = 1 / math.sqrt(768)
    assert bound * 0.999 < head.weight.abs().max() <= bound
    assert head.sigma.item() == 1
    assert sum(p.numel() for p in head.parameters()) == 768 * 50 + 1


def test_loss_is_cross_entropy_and_reaches_everything():
    torch.manual_seed(0)
    head, features, labels = CosineHead(6, 3), torch.randn(5, 6), torch.tensor([0, 1, 2, 1, 0])
    loss = head.loss(features, labels)
    expected = -torch.stack([torch.log_softmax(z, 0)[y] for z, y in zip(head(features), labels, strict=True)]).mean()
    assert torch.allclose(loss, expected)
    loss.backward()
    assert head.weight.grad.any()
    assert head.sigma.grad.any()


def test_a_zero_feature_gives_zero():
    assert not CosineHead(4, 2)(torch.zeros(1, 4)).any()
