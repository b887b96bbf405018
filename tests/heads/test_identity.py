import math

import pytest
import torch

from sdlora.heads.identity import IdentityHead

WIDTH = 6


def build() -> IdentityHead:
    torch.manual_seed(0)
    head = IdentityHead(WIDTH)
    for parameter in head.parameters():
        parameter.data += 0.3 * torch.randn(parameter.shape)
    head.grow(3)
    return head


def sample(count: int = 12, offset: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    labels = offset + torch.arange(count) % 3
    return torch.randn(count, WIDTH, generator=torch.Generator().manual_seed(1)) + labels[:, None] / 2, labels


def test_sizes_at_width_768():
    head = IdentityHead(768)
    assert sum(p.numel() for p in head.parameters()) == 2_363_136
    head.grow(10)
    assert sum(p.numel() for p in head.parameters()) == 2_363_136 + 10 * 769
    assert [tuple(head.mlp[i].weight.shape) for i in (0, 2)] == [(1536, 768), (768, 1536)]
    assert not head.mlp[0].bias.any()
    assert not head.mlp[2].bias.any()
    assert float(head.mlp[0].weight.std()) == pytest.approx(0.02, rel=0.05)
    assert head.norm.eps == 1e-6


def test_logits_against_loops():
    head = build()
    w1, b1, w2, b2 = (p.double() for p in head.mlp.parameters())
    scale, shift = (p.double() for p in head.norm.parameters())
    block = head.head.blocks[0]
    for feature, row in zip(sample()[0].double(), head(sample()[0]), strict=True):
        hidden = torch.stack([w @ feature + b for w, b in zip(w1, b1, strict=True)])
        hidden = torch.tensor([0.5 * h * (1 + math.erf(h / math.sqrt(2))) for h in hidden.tolist()]).double()
        f = feature + w2 @ hidden + b2
        normed = (f - f.mean()) / (f.var(correction=0) + 1e-6).sqrt() * scale + shift
        assert torch.allclose(row.double(), block.weight.double() @ normed + block.bias.double(), atol=1e-5)


def test_it_learns_by_fit_alone():
    head = build()
    assert not any(p.requires_grad for p in head.parameters())
    features, labels = sample(60)
    head.fit(features, labels, lr=0.02, batch_size=20)
    assert float((head(features).argmax(dim=1) == labels).float().mean()) > 0.8
    assert not any(p.requires_grad for p in head.parameters())
    assert all(p.grad is None for p in head.parameters())


def test_a_new_task_leaves_old_rows_alone():
    head = build()
    head.fit(*sample(), lr=0.02, batch_size=6)
    head.grow(3)
    before = {name: value.clone() for name, value in head.state_dict().items()}
    head.fit(*sample(offset=3), lr=0.02, batch_size=6)
    kept = {name for name, value in head.state_dict().items() if torch.equal(value, before[name])}
    assert kept == {"head.blocks.0.weight", "head.blocks.0.bias"}


def test_one_step_is_adam_on_the_clipped_gradient():
    head, twin = build(), build().requires_grad_(True)
    features, labels = sample()
    features = 50 * features
    head.fit(features, labels, lr=0.01, batch_size=12, epochs=1)
    torch.nn.functional.cross_entropy(twin(features), labels).backward()
    gradients = [p.grad.double() for p in twin.parameters()]
    norm = math.sqrt(sum(float(g.square().sum()) for g in gradients))
    for new, old, gradient in zip(head.parameters(), twin.parameters(), gradients, strict=True):
        clipped = gradient / max(norm, 1.0)
        step = 0.01 * clipped / (clipped.abs() + 1e-8)  # Adam's first step
        assert torch.allclose(new.double(), old.detach().double() - step, atol=1e-4)


def test_gradients_are_cut_to_norm_one(monkeypatch):
    norms, (features, labels) = [], sample()

    def watch(optimizer):
        gradients = [p.grad for group in optimizer.param_groups for p in group["params"]]
        norms.append(math.sqrt(sum(float(g.square().sum()) for g in gradients)))

    monkeypatch.setattr(torch.optim.Adam, "step", watch)
    head = build()
    head.head.blocks[0].weight.data *= 50  # far wrong, and steep
    head.fit(features, labels, lr=0.1, batch_size=12, epochs=3)
    assert norms == pytest.approx([1.0] * 3, rel=1e-4)


def test_what_gets_no_gradient_does_not_decay():
    head, (features, labels) = build(), sample()
    features[:, 0] = 0
    before = head.mlp[0].weight.clone()
    head.fit(features, labels, lr=0.1, batch_size=6)
    assert torch.equal(head.mlp[0].weight[:, 0], before[:, 0])
    assert not torch.equal(head.mlp[0].weight[:, 1], before[:, 1])


def test_epochs_times_batches(monkeypatch):
    head, steps = build(), []
    monkeypatch.setattr(torch.optim.Adam, "step", lambda self: steps.append(1))
    head.fit(*sample(12), lr=0.1, batch_size=5)
    assert len(steps) == 20 * 3
