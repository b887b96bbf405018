"""Class statistics: a few centroids for each class, with the spread around them.

Letters: K classes seen, M centroids of a class at most, D feature width, G centroids in all, n features of a class.
"""

from __future__ import annotations

import warnings
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

NUM_STARTS = 10  # of k-means for a class, the best of which counts; scikit-learn's default until 1.4


class Centroids(nn.Module):
    """Means and variances of the clusters that scikit-learn's k-means finds in the features of a class.

    A class with fewer than 2 M features gets n // 2 centroids, one at least, so that some cluster has a spread.

    Args:
        feature_dim: Width D of the features.
        num_centroids: Most centroids M a class gets.
    """

    means: Tensor
    variances: Tensor
    counts: Tensor

    def __init__(self, feature_dim: int, num_centroids: int = 10) -> None:
        super().__init__()
        self.register_buffer("means", torch.zeros(0, num_centroids, feature_dim))
        self.register_buffer("variances", torch.zeros(0, num_centroids, feature_dim))
        self.register_buffer("counts", torch.zeros(0, dtype=torch.long))

    def grow(self, num_classes: int) -> None:
        """Make room for the classes of a new task; they have no centroids until `fit`."""
        for name, buffer in list(self.named_buffers()):
            setattr(self, name, torch.cat([buffer, buffer.new_zeros(num_classes, *buffer.shape[1:])]))

    @torch.no_grad()
    def fit(self, features: Tensor, labels: Tensor) -> None:
        """Set the centroids of every class that occurs; a function of the arguments and torch's global generator.

        k-means runs on one thread, since several add up in the order in which they finish.

        Args:
            features: (N, D).
            labels: (N,) class ids.
        """
        with threadpool_limits(1):
            for label in torch.unique(labels).tolist():
                self._fit_class(label, features[labels == label].double().cpu())

    def _fit_class(self, label: int, points: Tensor) -> None:
        groups = torch.from_numpy(_clusters(points.numpy(), max(1, min(self.means.shape[1], len(points) // 2))))
        clusters = [points[groups == group] for group in torch.unique(groups)]
        self.counts[label] = len(clusters)
        self.means[label, : len(clusters)] = torch.stack([c.mean(dim=0) for c in clusters]).to(self.means)
        spread = torch.stack([c.var(dim=0, correction=0) for c in clusters])
        self.variances[label, : len(clusters)] = spread.to(self.variances)

    def rows(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return means (G, D), variances (G, D) and class ids (G,) of all centroids there are."""
        filled = torch.arange(self.means.shape[1], device=self.counts.device) < self.counts[:, None]
        return self.means[filled], self.variances[filled], filled.nonzero()[:, 0]


def _clusters(points: NDArray[np.float64], num_clusters: int) -> NDArray[np.int32]:
    """Return the cluster (n,) of each point (n, D) in the best of `NUM_STARTS` runs of k-means.

    Points that coincide make fewer clusters than `num_clusters`. The starts are drawn from torch's global generator.
    """
    from sklearn.cluster import KMeans  # importing scikit-learn takes a second
    from sklearn.exceptions import ConvergenceWarning

    seed = int(torch.randint(2**31 - 1, ()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct points than clusters
        found = KMeans(num_clusters, n_init=NUM_STARTS, random_state=seed).fit(points)
    return cast(NDArray[np.int32], found.labels_)
