import torch

from sdlora.heads import PrototypeHead


def test_class_means_and_cosine_by_hand():
    head = PrototypeHead(2)
    head.grow(2)
    features = torch.tensor([[2.0, 0.0], [4.0, 0.0], [0.0, 3.0]])
    head.fit([(features[:1], torch.tensor([0])), (features[1:], torch.tensor([0, 1]))])
    assert torch.equal(head.means, torch.tensor([[3.0, 0.0], [0.0, 3.0]]))
    logits = head(torch.tensor([[1.0, 1.0], [0.0, -2.0]]))
    half = 0.5**0.5
    assert torch.allclose(logits, torch.tensor([[half, half], [0.0, -1.0]]))


def test_old_means_stay_when_new_classes_come():
    head = PrototypeHead(2)
    head.grow(1)
    head.fit([(torch.ones(3, 2), torch.zeros(3, dtype=torch.int64))])
    head.grow(1)
    head.fit([(2 * torch.ones(3, 2), torch.ones(3, dtype=torch.int64))])
    assert torch.equal(head.means, torch.tensor([[1.0, 1.0], [2.0, 2.0]]))


def test_a_zero_feature_gives_finite_logits():
    head = PrototypeHead(3)
    head.grow(2)
    assert torch.isfinite(head(torch.zeros(1, 3))).all()
