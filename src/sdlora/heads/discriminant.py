"""Linear discriminants with one covariance for all classes: as the start of a block, and as a head of its own.

Among the classes of one task the cross-entropy gives the rows of a block gradients that add up to zero,

    sum_c dL/dw_c = sum_x f(x) sum_c (p_c - y_c) = 0,

so the mean row and the mean bias of every block stay at their random start, and at test they decide between tasks.
`start` replaces that start; `DiscriminantHead` replaces the block.

Letters: N images, D feature width, K classes seen, C classes of the newest task, a share of shrinkage, tau `SCALE`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sdlora.errors import DataError
from sdlora.heads.alignment import learning

SCALE = 0.25
"""tau: multiplies log-likelihoods, which are overconfident by about four in these widths."""

LARGEST_GAP = 30.0
"""Between the logits of an image at the start of a block; beyond it nothing would learn, for softmax gives 0 and 1."""

TURNS = (1, 2, 3)
"""Quarter turns of the images that stand for everything that a class is not."""

SHRINKAGE = (0.01, 0.03, 0.1, 0.3, 0.6)
"""Shares of shrinkage that `DiscriminantHead` tries."""

MOST_LEFT_OUT = 1024
"""Images of a task, at most, that are left out one at a time to choose the shrinkage."""

EXACT_WIDTH = 1024
"""Features, at most, for which images are left out in float64."""

WIDEST, CLOSE, GOLDEN = 4.0, 0.02, (math.sqrt(5) - 1) / 2
"""How far the logarithm of the scale may move in a task, how exactly it is found, and the ratio of the search."""

EPOCHS, BATCH, STEP = 4, 32, 1.67
"""Passes, images in a step, and learning rate times the mean squared length of a feature, of the contrast."""

MOST_WATCHED, STIFFNESS = 1024, 18.0
"""Images of a task, at most, that tell how features drift; and the ridge of the drift map, in times of the mean squared
length of a feature."""


class Scatter(NamedTuple):
    """Sums over labelled features.

    Attributes:
        counts: (C,) features of each class.
        means: (C, D); zero for a class without features.
        within: (D, D), sum over features of (f - mean)(f - mean)^T with the mean of their own class.
    """

    counts: Tensor
    means: Tensor
    within: Tensor


def scatter(features: Tensor, labels: Tensor, num_classes: int) -> Scatter:
    """Return the sums of features (N, D) with labels (N,) in 0 .. C - 1, in float64."""
    features = features.double()
    counts = torch.bincount(labels, minlength=num_classes).double()
    means = features.new_zeros(num_classes, features.shape[1]).index_add_(0, labels, features)
    means /= counts.clamp_min(1)[:, None]
    rest = features - means[labels]
    return Scatter(counts, means, rest.T @ rest)


def shrunk(within: Tensor, freedom: float, share: float) -> Tensor:
    """Return Sigma = (1 - a) S_w / freedom + a tr(S_w / freedom) / D I (D, D); I where there is no scatter at all."""
    covariance = within / max(freedom, 1.0)
    variance = covariance.diagonal().mean()
    if not variance > 0:
        return torch.eye(len(within), dtype=within.dtype, device=within.device)
    sigma = (1 - share) * covariance
    sigma.diagonal().add_(share * variance)
    return sigma


@torch.no_grad()
def start(features: Tensor, turned: Tensor, labels: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
    """Return the discriminant between each class and its own images turned by quarters, the start of a block.

        W = tau (mu - m) Sigma^-1,   b = -1/2 rowsum(W * (mu + m)),   a = max(0.2, D / (D + 4 N))

    Sigma is the shrunk covariance within the 4 C groups of a class and a turn, m half the mean of all turned features.
    Where few images leave Sigma so small that logits of one image lie further apart than `LARGEST_GAP`, tau is less.

    Args:
        features: (N, D) of the task's images.
        turned: (3, N, D) of the same images turned by 90, 180 and 270 degrees.
        labels: (N,) in 0 .. C - 1.
        num_classes: C.

    Returns:
        W (C, D) and b (C,), float32.
    """
    groups = torch.cat([labels + num_classes * turn for turn in range(len(turned) + 1)])
    num_groups = num_classes * (len(turned) + 1)
    sums = scatter(torch.cat([features[None], turned]).flatten(0, 1), groups, num_groups)
    count, width = len(groups), features.shape[1]
    sigma = shrunk(sums.within, count - num_groups, max(0.2, width / (width + count)))
    mu, m = sums.means[:num_classes], turned.double().mean(dim=(0, 1)) / 2
    weight = SCALE * torch.cholesky_solve((mu - m).T, torch.linalg.cholesky(sigma)).T
    bias = -(weight * (mu + m)).sum(dim=1) / 2
    logits = torch.addmm(bias, features.double(), weight.T)
    scale = (LARGEST_GAP / (logits.amax(dim=1) - logits.amin(dim=1)).max().clamp_min(LARGEST_GAP)).item()
    return (scale * weight).float(), (scale * bias).float()


class DiscriminantHead(nn.Module):
    """Linear discriminant analysis from running sums, and what a few epochs of cross-entropy change in it.

        L = mu Sigma^-1,   l = -1/2 rowsum(L * mu),   W = s / tau (tau L + Delta),   b = s / tau (tau l + delta)

    Kept are the scatter within classes, counts and means; and for each task the contrast Delta, delta: what `EPOCHS` of
    cross-entropy among its own classes change in tau (L, l) on its features. The share of shrinkage is the one with the
    most hits when images are left out one at a time, summed over tasks so far, so that a lesson of few images does not
    decide alone. The scale s makes probabilities agree with how often they are right, and never changes which class is
    likeliest: it is the one under which the newest images, left out one at a time, are likeliest, see `fitted_scale`;
    where they are of few classes among many, it moves less. Classes may come again: their sums grow.

    Where a task changes the features, the sums follow. `watch` is told the features X' (M, D) of some of its images
    before training, `fit` knows X of the same images after it, and

        M = I + (X'^T X' + lambda I)^-1 X'^T (X - X'),   mu <- mu M,   S_w <- M^T S_w M.

    Args:
        feature_dim: Width D of the features.
        device: Where its state lives.

    Shape:
        Features (N, D) to logits (N, K); classes not yet fitted score 0.
    """

    within: Tensor
    counts: Tensor
    means: Tensor
    left_out_hits: Tensor
    scale: Tensor
    before: Tensor
    contrast_weight: Tensor
    contrast_bias: Tensor
    weight: Tensor
    bias: Tensor
    num_fitted: Tensor

    def __init__(self, feature_dim: int, *, device: torch.device | None = None) -> None:
        super().__init__()
        self.register_buffer("within", torch.zeros(feature_dim, feature_dim, device=device))
        self.register_buffer("counts", torch.zeros(0, device=device))
        self.register_buffer("means", torch.zeros(0, feature_dim, device=device))
        self.register_buffer("left_out_hits", torch.zeros(len(SHRINKAGE), device=device))
        self.register_buffer("scale", torch.tensor(SCALE, device=device))
        self.register_buffer("before", torch.zeros(0, feature_dim, device=device))  # only while a task is trained
        self.register_buffer("contrast_weight", torch.zeros(0, feature_dim, device=device))
        self.register_buffer("contrast_bias", torch.zeros(0, device=device))
        self.register_buffer("weight", torch.zeros(0, feature_dim, device=device))
        self.register_buffer("bias", torch.zeros(0, device=device))
        self.register_buffer("num_fitted", torch.zeros((), dtype=torch.int64, device=device))

    def grow(self, num_classes: int) -> None:
        """Add rows for the classes of a new task; they are zero until `fit`."""
        for name in ("counts", "means", "contrast_weight", "contrast_bias", "weight", "bias"):
            buffer = getattr(self, name)
            setattr(self, name, torch.cat([buffer, buffer.new_zeros(num_classes, *buffer.shape[1:])]))

    @property
    def shrinkage(self) -> float:
        """The share a in use; of equally good ones the largest."""
        best = (self.left_out_hits == self.left_out_hits.max()).nonzero().max()
        return SHRINKAGE[int(best)]

    @torch.no_grad()
    def watch(self, features: Tensor) -> None:
        """Remember some of the features (N, D) that a task's images have before it is trained, until `fit`."""
        self.before = _spread(features.float(), MOST_WATCHED)

    @torch.no_grad()
    def fit(self, features: Tensor, labels: Tensor) -> None:
        """Add the images of a task, and solve for all classes.

        Args:
            features: (N, D), in the order in which `watch` saw them.
            labels: (N,) class ids of the stream, of new classes or of known ones.

        Raises:
            DataError: If there are no images.
        """
        if len(labels) == 0:
            raise DataError("a task without images", expected="at least one")
        with torch.autocast(features.device.type, enabled=False):
            features = features.float()
            self._follow(features)
            self._add(features, labels)
            self._leave_out(features, labels)
            weight, bias = self._solve()
            classes = torch.unique(labels)
            if len(classes) > 1:
                rows = weight[classes].float(), bias[classes].float()
                places = torch.searchsorted(classes, labels)
                self.contrast_weight[classes], self.contrast_bias[classes] = contrast(*rows, features, places)
            sharpness = self.scale / SCALE
            self.weight = sharpness * (weight.float() + self.contrast_weight)
            self.bias = sharpness * (bias.float() + self.contrast_bias)
            self.num_fitted.fill_(int((self.counts > 0).sum()))

    def _follow(self, features: Tensor) -> None:
        """Move the sums of older classes along with the features, as far as the newest images tell."""
        if not len(self.before):
            return
        before = self.before
        lift, change = _ridge(before, _spread(features, MOST_WATCHED) - before)
        self.means = self.means + (self.means @ lift) @ change
        half = self.within + (self.within @ lift) @ change  # S M, with M = I + lift change
        self.within = half + change.T @ (lift.T @ half)
        self.before = before[:0]

    def _add(self, features: Tensor, labels: Tensor) -> None:
        new = scatter(features, labels, len(self.counts))
        counts, means = self.counts.double(), self.means.double()
        total = counts + new.counts
        apart = (counts * new.counts / total.clamp_min(1)).sqrt()[:, None] * (means - new.means)  # of classes met again
        self.within = (self.within.double() + new.within + apart.T @ apart).float()
        share = (new.counts / total.clamp_min(1))[:, None]
        self.means = (means + share * (new.means - means)).float()
        self.counts = total.float()

    def _freedom(self) -> float:
        return float(self.counts.sum() - (self.counts > 0).sum())

    def _solve(self) -> tuple[Tensor, Tensor]:
        """Return tau L and tau l in float64; zero for classes without images."""
        means = self.means.double()
        sigma = shrunk(self.within.double(), self._freedom(), self.shrinkage)
        weight = SCALE * torch.cholesky_solve(means.T, torch.linalg.cholesky(sigma)).T
        return weight, -(weight * means).sum(dim=1) / 2

    def _leave_out(self, features: Tensor, labels: Tensor) -> None:
        """Choose shrinkage and scale by leaving the newest images out of the sums, one at a time."""
        features, labels = _spread(features, MOST_LEFT_OUT), _spread(labels, MOST_LEFT_OUT)
        alone = self.counts[labels] < 2
        features, labels = features[~alone], labels[~alone]
        if not len(labels):
            return
        freedom = max(self._freedom(), 1.0)
        older = int((self.counts > 0).sum()) / len(torch.unique(labels)) - 1  # classes, in times of those of the images
        caution, scales = 1 + len(labels) * max(0.0, older - 1), []
        for index, share in enumerate(SHRINKAGE):
            distances = left_out_distances(
                features,
                labels,
                self.means,
                self.counts,
                sigma=shrunk(self.within, freedom, share),
                part=(1 - share) / freedom,
            )
            self.left_out_hits[index] += (distances.argmin(dim=1) == labels).sum()
            scales.append(fitted_scale(distances, labels, float(self.scale), caution))
        self.scale.fill_(scales[SHRINKAGE.index(self.shrinkage)])

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *args: Any) -> None:
        """Take over as many rows as are stored of the features before a task."""
        stored = state_dict.get(f"{prefix}before")
        if isinstance(stored, Tensor) and stored.shape[1:] == self.before.shape[1:]:
            self.before = self.before.new_zeros(stored.shape)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def forward(self, features: Tensor) -> Tensor:
        with torch.autocast(features.device.type, enabled=False):
            return F.linear(features.float(), self.weight, self.bias)


def _ridge(rows: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return the factors of (X^T X + lambda I)^-1 X^T Y for rows X (M, D) and targets Y (M, D).

    Both are (D, D) where M > D, so that the first is I; else X^T (D, M) and (X X^T + lambda I)^-1 Y (M, D).
    """
    strength, wide = STIFFNESS * rows.square().sum(dim=1).mean(), len(rows) <= rows.shape[1]
    gram = rows @ rows.T if wide else rows.T @ rows
    gram.diagonal().add_(strength)
    factor = torch.linalg.cholesky(gram)
    if wide:
        return rows.T, torch.cholesky_solve(targets, factor)
    return torch.eye(len(gram), dtype=gram.dtype, device=gram.device), torch.cholesky_solve(rows.T @ targets, factor)


def _spread(rows: Tensor, most: int) -> Tensor:
    """Return at most so many rows, evenly spread."""
    return rows[:: -(-len(rows) // most)] if len(rows) else rows


def left_out_distances(
    features: Tensor, labels: Tensor, means: Tensor, counts: Tensor, *, sigma: Tensor, part: float
) -> Tensor:
    """Return how far images are from every class once they are taken out of the mean of their own and of Sigma.

    With d = f - mu_y and r = n_y / (n_y - 1) the mean without f is f - r d, and Sigma without f is Sigma - p r d d^T
    (its trace in the shrinkage is kept), whose inverse follows by Sherman and Morrison:

        (f - mu_j)^T Sigma_f^-1 (f - mu_j) = |z - m_j|^2 + g <z - m_j, e>^2,   g = p r / (1 - p r |e|^2)

    where z, m, e are f, mu, d in coordinates in which Sigma is I. For j = y, f - mu_y is r d.

    Args:
        features: (N, D), all of classes with two images or more.
        labels: (N,) class ids.
        means: (K, D).
        counts: (K,); classes without images are infinitely far.
        sigma: (D, D).
        part: p, what one image's outer product is multiplied by in Sigma.

    Returns:
        (N, K), squared; float64 where D is at most `EXACT_WIDTH`, for beyond it half the time counts more.
    """
    exact = torch.float64 if features.shape[1] <= EXACT_WIDTH else torch.float32
    features, means, counts = features.to(exact), means.to(exact), counts.to(exact)
    lower = torch.linalg.cholesky(sigma.to(exact))
    z, m = (torch.linalg.solve_triangular(lower, rows.T, upper=False).T for rows in (features, means))
    e, r = z - m[labels], counts[labels] / (counts[labels] - 1)
    length = e.square().sum(dim=1)
    gain = part * r / (1 - part * r * length).clamp_min(1e-6)
    along = (z * e).sum(dim=1, keepdim=True) - e @ m.T
    distances: Tensor = z.square().sum(dim=1, keepdim=True) - 2 * z @ m.T + m.square().sum(dim=1)
    distances += gain[:, None] * along.square()
    own = r.square() * (length + gain * length.square())
    distances[:, counts == 0] = float("inf")
    distances[torch.arange(len(z), device=z.device), labels] = own
    return distances


def fitted_scale(distances: Tensor, labels: Tensor, former: float, caution: float) -> float:
    """Return the scale s that makes images likeliest, near the former one where these say little.

        sum_x log softmax_y(-s d(x) / 2) - c / 2 (log s / s')^2 -> max,   by golden-section search in log s

    Args:
        distances: d (N, K), squared, infinite for classes that cannot be.
        labels: (N,) y.
        former: s'.
        caution: c, how many images it counts for.
    """

    def loss(shift: float) -> float:
        logits = -former * math.exp(shift) / 2 * distances
        return float(F.cross_entropy(logits, labels, reduction="sum")) + caution / 2 * shift**2

    low, high = -WIDEST, WIDEST
    inner, outer = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
    at_inner, at_outer = loss(inner), loss(outer)
    while high - low > CLOSE:
        if at_inner < at_outer:
            high, outer, at_outer = outer, inner, at_inner
            inner = high - GOLDEN * (high - low)
            at_inner = loss(inner)
        else:
            low, inner, at_inner = inner, outer, at_outer
            outer = low + GOLDEN * (high - low)
            at_outer = loss(outer)
    return former * math.exp((low + high) / 2)


def contrast(weight: Tensor, bias: Tensor, features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return what cross-entropy among the classes of a task changes in their rows, on features that stay as they are.

    SGD with momentum 0.9; the learning rate is `STEP` over the mean squared length of a feature, so that it suits any
    width. Batches are drawn from torch's global generator.

    Args:
        weight: (C, D), where it starts.
        bias: (C,).
        features: (N, D).
        labels: (N,) in 0 .. C - 1.

    Returns:
        The differences (C, D) and (C,).
    """
    rows, offsets = nn.Parameter(weight.clone()), nn.Parameter(bias.clone())
    with learning([rows, offsets]):
        optimizer = torch.optim.SGD([rows, offsets], lr=STEP / float(features.square().sum(dim=1).mean()), momentum=0.9)
        for _ in range(EPOCHS):
            for places in torch.split(torch.randperm(len(labels)).to(labels.device), BATCH):
                optimizer.zero_grad()
                F.cross_entropy(F.linear(features[places], rows, offsets), labels[places]).backward()  # type: ignore[no-untyped-call]
                optimizer.step()
    return rows.detach() - weight, offsets.detach() - bias
