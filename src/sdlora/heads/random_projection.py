"""A linear classifier on random features, fitted in closed form to all tasks through running sums (RanPAC).

    H = ReLU(F P),   G = sum over tasks of H^T H,   Q = sum of H^T Y,   W = (G + lambda I)^-1 Q

Letters: N images of a task, D feature width, M random features, K classes seen.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sdlora.errors import ConfigError, DataError
from sdlora.heads.ridge import LAMBDAS, RidgePath, dual, least, primal, solve, squared_errors

FIT_SHARE = 0.8  # of the rows; the others choose lambda
CHUNK = 1024  # rows expanded to M random features at a time


def projection_width(feature_dim: int, projection_dim: int | None) -> int:
    """Return M: as given, or 10,000 for features of width 768 and more, in proportion below that.

    Raises:
        ConfigError: If `projection_dim` is less than 1.
    """
    if projection_dim is None:
        return round(10_000 * min(1.0, feature_dim / 768))
    if projection_dim < 1:
        raise ConfigError(f"projection_dim = {projection_dim}", expected="at least 1")
    return projection_dim


class RandomProjectionHead(nn.Module):
    """Ridge regression from ReLU(F P) to one-hot labels, equal to one fit on the data of all tasks together.

    The sums are kept in float64, so that the result does not depend on how the data was split: 8 M^2 bytes, 800 MB at
    M = 10,000. lambda is the one of the newest task and applies to all classes.

    Args:
        feature_dim: Width D of the features.
        projection_dim: M.
        device: Where its state lives.

    Shape:
        Features (N, D) to logits (N, K); classes not yet fitted score 0.
    """

    projection: Tensor
    gram: Tensor
    cross: Tensor
    weight: Tensor
    strengths: Tensor
    num_fitted: Tensor

    def __init__(self, feature_dim: int, projection_dim: int, *, device: torch.device | None = None) -> None:
        super().__init__()
        M, exact = projection_dim, torch.float64
        # Drawn on the CPU: the same numbers on every device. Not divided by sqrt(D): lambda is tuned to it.
        self.register_buffer("projection", torch.randn(feature_dim, M).to(device))
        self.register_buffer("gram", torch.zeros(M, M, dtype=exact, device=device))
        self.register_buffer("cross", torch.zeros(M, 0, dtype=exact, device=device))
        self.register_buffer("weight", torch.zeros(0, M, device=device))
        self.register_buffer("strengths", torch.zeros(0, dtype=exact, device=device))  # lambda of each task
        self.register_buffer("num_fitted", torch.zeros((), dtype=torch.int64, device=device))

    def grow(self, num_classes: int) -> None:
        """Add columns and rows for the classes of a new task; they are zero until `fit`."""
        self.cross = F.pad(self.cross, (0, num_classes))
        self.weight = F.pad(self.weight, (0, 0, 0, num_classes))
        self.strengths = F.pad(self.strengths, (0, 1))

    @property
    def at_edge(self) -> bool:
        """Whether the newest lambda is the smallest or largest one tried, so that another might be better."""
        return float(self.strengths[-1]) in (LAMBDAS[0], LAMBDAS[-1])

    @torch.no_grad()
    def fit(self, features: Tensor, labels: Tensor) -> None:
        """Add a task: choose lambda on its own rows, update the sums, solve for all classes.

        Args:
            features: (N, D) of all images of the newest task, in any order: they are shuffled here.
            labels: (N,) class ids of the stream.

        Raises:
            DataError: If there are no images.
        """
        if len(labels) == 0:
            raise DataError("a task without images", expected="at least one")
        with torch.autocast(features.device.type, enabled=False):
            order = torch.randperm(len(labels)).to(labels.device)
            targets = F.one_hot(labels[order], self.cross.shape[1]).double()
            self._add(features[order], targets)
            strength = float(self.strengths[-1])
            self.weight = solve(self.gram, self.cross, strength).T.to(self.weight.dtype).contiguous()
            self.num_fitted.fill_(len(self.strengths))

    def _add(self, features: Tensor, targets: Tensor) -> None:
        num_fit = max(1, int(FIT_SHARE * len(features)))
        fit, rest = slice(None, num_fit), slice(num_fit, None)
        gram, cross = self._sums(features[fit], targets[fit])
        small = num_fit <= len(gram)
        path = dual(self._expand(features[fit]), targets[fit]) if small else primal(gram, cross)
        held_out = rest if num_fit < len(features) else fit  # a single image has to do both
        self.strengths[-1] = least(self._errors(path, features[held_out], targets[held_out]))
        self.gram += gram
        self.cross += cross
        gram, cross = self._sums(features[rest], targets[rest])
        self.gram += gram
        self.cross += cross

    def _expand(self, features: Tensor) -> Tensor:
        return F.relu(features.double() @ self.projection.double())

    def _chunks(self, features: Tensor, targets: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        for rows, wanted in zip(torch.split(features, CHUNK), torch.split(targets, CHUNK), strict=True):
            yield self._expand(rows), wanted

    def _sums(self, features: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        gram, cross = torch.zeros_like(self.gram), torch.zeros_like(self.cross)
        for H, Y in self._chunks(features, targets):
            gram.addmm_(H.T, H)
            cross.addmm_(H.T, Y)
        return gram, cross

    def _errors(self, path: RidgePath, features: Tensor, targets: Tensor) -> Tensor:
        errors = torch.zeros(len(LAMBDAS), dtype=torch.float64, device=features.device)
        for H, Y in self._chunks(features, targets):
            errors += squared_errors(path, H, Y)
        return errors

    def forward(self, features: Tensor) -> Tensor:
        with torch.autocast(features.device.type, enabled=False):
            return F.linear(F.relu(features.float() @ self.projection), self.weight)
