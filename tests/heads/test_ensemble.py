import math

import pytest
import torch
from torch import Tensor

from sdlora.heads.ensemble import EnsembleHead, similarity

DIM, SIZES = 5, (3, 2, 4)


def batches(task: int, sizes: tuple[int, ...] = SIZES) -> list[tuple[Tensor, Tensor]]:
    """Return two batches of features in task + 1 subspaces, with labels of `task`."""
    generator, offset = torch.Generator().manual_seed(task), sum(sizes[:task])
    made = []
    for _ in range(2):
        labels = offset + torch.arange(2 * sizes[task]) % sizes[task]
        made.append((torch.randn(len(labels), task + 1, DIM, generator=generator) + labels[:, None, None], labels))
    return made


def fitted(num_tasks: int, **options) -> EnsembleHead:
    head = EnsembleHead(DIM, **options)
    for task in range(num_tasks):
        head.grow(SIZES[task])
        head.fit(batches(task))
    return head


def cosine(a: Tensor, b: Tensor) -> float:
    return float(a @ b) / (float(a.norm()) * float(b.norm()))


def by_loops(num_tasks: int, *, refresh: bool) -> dict[tuple[int, int], Tensor]:
    """Return P[c, j] as the source says, one cell at a time, in float64."""
    task_of = [task for task in range(num_tasks) for _ in range(SIZES[task])]
    P: dict[tuple[int, int], Tensor] = {}
    for c, task in enumerate(task_of):
        of_class = torch.cat([features[labels == c] for features, labels in batches(task)]).double()
        for j in range(task + 1):
            P[c, j] = sum(of_class[:, j]) / len(of_class)
    for c, i in enumerate(task_of):
        for j in range(i + 1, num_tasks):
            donors = [k for k, task in enumerate(task_of) if (task >= j if refresh else task == j)]
            weights = [math.exp(cosine(P[c, i], P[k, i])) for k in donors]
            P[c, j] = sum(w * P[k, j] for w, k in zip(weights, donors, strict=True)) / sum(weights)
    return P


@pytest.mark.parametrize("refresh", [True, False])
def test_cells_equal_those_of_a_loop(refresh):
    for num_tasks in (1, 2, 3):
        means = fitted(num_tasks, refresh=refresh).means
        expected = by_loops(num_tasks, refresh=refresh)
        assert means.shape == (sum(SIZES[:num_tasks]), num_tasks, DIM)
        assert len(expected) == means.shape[0] * num_tasks
        for (c, j), value in expected.items():
            assert torch.allclose(means[c, j].double(), value, atol=1e-5), (c, j)


def test_logits_equal_those_of_a_loop():
    head, features = fitted(3, alpha=0.3), torch.randn(4, 3, DIM, generator=torch.Generator().manual_seed(9))
    logits, P = head(features), by_loops(3, refresh=True)
    for n, f in enumerate(features.double()):
        for c, i in enumerate(head.task_of.tolist()):
            others = sum(cosine(f[j], P[c, j]) for j in range(3) if j != i)
            assert float(logits[n, c]) == pytest.approx(cosine(f[i], P[c, i]) + 0.3 / 2 * others, abs=1e-5)


def test_one_task_is_the_nearest_class_mean():
    head, features = fitted(1), torch.randn(4, 1, DIM)
    assert torch.allclose(head(features), torch.cosine_similarity(features, head.means[:, 0][None], dim=2), atol=1e-6)


def test_without_alpha_a_class_depends_on_its_own_subspace_alone():
    head, features = fitted(3, alpha=0.0), torch.randn(4, 3, DIM)
    changed = features.clone()
    changed[:, 1] = torch.randn(4, DIM)
    same = (head(features) == head(changed)).all(0)
    assert same.tolist() == [True] * 3 + [False] * 2 + [True] * 4


def test_measured_cells_keep_their_bits():
    head, before = fitted(2), fitted(2).means.clone()
    synthetic = before[:3, 1].clone()
    head.grow(SIZES[2])
    head.fit(batches(2))
    assert torch.equal(head.means[:3, 0], before[:3, 0])
    assert torch.equal(head.means[3:5, :2], before[3:5])
    assert not torch.allclose(head.means[:3, 1], synthetic)  # refreshed: the classes of task 2 joined the donors


def test_without_refresh_a_synthetic_cell_is_written_once():
    head, before = fitted(2, refresh=False), fitted(2, refresh=False).means.clone()
    head.grow(SIZES[2])
    head.fit(batches(2))
    assert torch.equal(head.means[:5, :2], before)


def test_weights_are_shares_that_differ_little():
    weights = similarity(torch.randn(4, DIM), torch.randn(7, DIM))
    assert torch.allclose(weights.sum(1), torch.ones(4))
    assert float((weights.amax(1) / weights.amin(1)).max()) <= math.exp(2)


def test_classes_of_a_task_under_way_score_zero():
    head, features = fitted(2), torch.randn(4, 2, DIM)
    before = head(features)
    head.grow(SIZES[2])
    logits = head(features)
    assert torch.equal(logits[:, :5], before)
    assert not logits[:, 5:].any()


def test_autocast_does_not_round_the_logits():
    head, features = fitted(3), torch.randn(4, 3, DIM)
    with torch.autocast("cpu", torch.bfloat16):
        logits = head(features)
    assert torch.equal(logits, head(features))
