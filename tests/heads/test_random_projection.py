import math

import pytest
import torch
from torch import Tensor

from sdlora.errors import ConfigError, DataError
from sdlora.heads import random_projection
from sdlora.heads.random_projection import RandomProjectionHead, projection_width
from sdlora.heads.ridge import LAMBDAS

DIM, WIDTH = 6, 40


def rows(count: int, num_classes: int, offset: int = 0, seed: int = 0) -> tuple[Tensor, Tensor]:
    labels = torch.arange(count) % num_classes + offset
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(20, DIM, generator=generator)
    return centres[labels] + 0.5 * torch.randn(count, DIM, generator=generator), labels


def new_head(width: int = WIDTH) -> RandomProjectionHead:
    torch.manual_seed(0)
    return RandomProjectionHead(DIM, width)


def one_fit(head: RandomProjectionHead, features: Tensor, labels: Tensor) -> Tensor:
    """Return the ridge regression on all rows at once, by least squares in float64."""
    H = torch.clamp(features.double() @ head.projection.double(), min=0)
    Y = torch.nn.functional.one_hot(labels, len(head.weight)).double()
    width = H.shape[1]
    below = math.sqrt(float(head.strengths[-1])) * torch.eye(width, dtype=H.dtype)
    return torch.linalg.lstsq(torch.cat([H, below]), torch.cat([Y, Y.new_zeros(width, Y.shape[1])])).solution.T


@pytest.mark.parametrize(
    ("dim", "given", "expected"),
    [(768, None, 10_000), (1024, None, 10_000), (192, None, 2500), (32, None, 417), (768, 7, 7)],
)
def test_width_is_ten_thousand_or_in_proportion(dim, given, expected):
    assert projection_width(dim, given) == expected


def test_refuses_a_width_of_zero():
    with pytest.raises(ConfigError, match="projection_dim = 0"):
        projection_width(32, 0)


def test_starts_as_specified():
    torch.manual_seed(0)
    head = RandomProjectionHead(100, 1000)
    assert abs(float(head.projection.std()) - 1) < 0.01  # not divided by sqrt(D)
    head.grow(3)
    assert (head.gram.shape, head.cross.shape, head.weight.shape) == ((1000, 1000), (1000, 3), (3, 1000))
    assert head.gram.dtype == head.cross.dtype == torch.float64
    assert not any(state.any() for state in (head.gram, head.cross, head.weight))
    assert not list(head.parameters())


def test_the_projection_is_drawn_on_the_cpu_for_every_device():
    torch.manual_seed(0)
    head = RandomProjectionHead(DIM, WIDTH, device=torch.device("meta"))
    after = torch.randn(3)
    torch.manual_seed(0)
    torch.randn(DIM, WIDTH)
    assert head.projection.device.type == "meta"
    assert torch.equal(torch.randn(3), after)


@pytest.mark.parametrize("width", [8, WIDTH])  # primal and dual search
def test_three_tasks_equal_one_fit_on_all_data(width):
    head, seen = new_head(width), []
    for task, (count, num_classes, offset) in enumerate([(30, 3, 0), (14, 2, 3), (25, 4, 5)]):
        seen.append(rows(count, num_classes, offset, seed=task))
        head.grow(num_classes)
        head.fit(*seen[-1])
        features, labels = (torch.cat(parts) for parts in zip(*seen, strict=True))
        expected = one_fit(head, features, labels)
        assert torch.allclose(head.weight.double(), expected, rtol=1e-5, atol=1e-6)
    assert torch.allclose(head.gram, head.gram.T, atol=1e-12)
    assert float(torch.linalg.eigvalsh(head.gram).min()) > -1e-9


def test_sums_do_not_depend_on_order_or_split(monkeypatch):
    features, labels = rows(40, 4)
    once, split, shuffled = new_head(), new_head(), new_head()
    once.grow(4)
    once.fit(features, labels)
    order = torch.randperm(40)
    shuffled.grow(4)
    monkeypatch.setattr(random_projection, "CHUNK", 7)
    shuffled.fit(features[order], labels[order])
    split.grow(4)
    for part in (slice(None, 11), slice(11, None)):
        split.fit(features[part], labels[part])
    for other in (split, shuffled):
        assert torch.allclose(other.gram, once.gram, rtol=1e-12)
        assert torch.allclose(other.cross, once.cross, rtol=1e-12)


@pytest.mark.parametrize("width", [8, WIDTH])
def test_lambda_is_the_best_on_the_held_out_fifth(width):
    features, labels = rows(30, 3)
    head = new_head(width)
    head.grow(3)
    torch.manual_seed(5)
    head.fit(features, labels)
    torch.manual_seed(5)
    order = torch.randperm(30)
    H = torch.clamp(features.double() @ head.projection.double(), min=0)[order]
    Y = torch.nn.functional.one_hot(labels, 3).double()[order]
    errors = []
    for strength in LAMBDAS:
        W = torch.linalg.lstsq(
            torch.cat([H[:24], math.sqrt(strength) * torch.eye(width).double()]),
            torch.cat([Y[:24], torch.zeros(width, 3).double()]),
            driver="gelsd",
        ).solution
        errors.append(float(((H[24:] @ W - Y[24:]) ** 2).mean()))
    assert float(head.strengths[-1]) == LAMBDAS[errors.index(min(errors))]


def test_sorted_classes_are_on_both_sides_of_the_split(monkeypatch):
    features, labels = rows(60, 3)
    order = labels.argsort(stable=True)
    found = []
    dual = random_projection.dual
    monkeypatch.setattr(random_projection, "dual", lambda H, Y: found.append(Y.sum(0)) or dual(H, Y))
    head = new_head(100)
    head.grow(3)
    head.fit(features[order], labels[order])
    assert int(found[0].sum()) == 48
    assert (found[0] < 20).all()


def test_the_newest_lambda_replaces_the_older_one():
    head = new_head()
    for task in range(2):
        head.grow(3)
        head.fit(*rows(30, 3, 3 * task, seed=task))
    assert head.strengths.shape == (2,)
    assert set(head.strengths.tolist()) <= set(LAMBDAS)
    head.strengths[-1] = 1e8
    assert head.at_edge
    head.strengths[-1] = 1e2
    assert not head.at_edge


def test_head_is_linear_and_not_normalised():
    head = new_head()
    head.grow(3)
    head.fit(*rows(30, 3))
    features = rows(5, 3, seed=3)[0]
    logits = head(features)
    H = torch.clamp(features @ head.projection, min=0)
    assert torch.allclose(logits, H @ head.weight.T, atol=1e-5)
    assert torch.allclose(head(3 * features), 3 * logits, rtol=1e-4, atol=1e-5)
    head.weight[0] *= 3
    assert torch.allclose(head(features)[:, 0], 3 * logits[:, 0], rtol=1e-4, atol=1e-5)


def test_row_norms_decide():
    """Two rows of one direction: by cosine they tie, and rounding or the first would win; linearly the longer wins."""
    head = RandomProjectionHead(1, 1)
    head.projection.fill_(1)
    head.grow(2)
    head.weight.copy_(torch.tensor([[1.0], [2.0]]))
    assert int(head(torch.ones(1, 1)).argmax()) == 1


def test_new_classes_score_zero_until_fitted():
    head = new_head()
    head.grow(3)
    head.fit(*rows(30, 3))
    features = rows(5, 3)[0]
    before = head(features)
    head.grow(2)
    assert torch.allclose(head(features)[:, :3], before, atol=1e-6)
    assert not head(features)[:, 3:].any()


def test_autocast_does_not_round():
    head, features = new_head(), rows(30, 3)[0]
    head.grow(3)
    with torch.autocast("cpu", torch.bfloat16):
        head.fit(*rows(30, 3))
        logits = head(features)
    assert torch.equal(head(features), logits)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_images_are_enough(count):
    head = new_head()
    head.grow(1)
    head.fit(*rows(count, 1))
    assert torch.isfinite(head.weight).all()
    assert head.weight.any()


def test_refuses_a_task_without_images():
    head = new_head()
    head.grow(1)
    with pytest.raises(DataError, match="without images"):
        head.fit(torch.zeros(0, DIM), torch.zeros(0, dtype=torch.int64))
