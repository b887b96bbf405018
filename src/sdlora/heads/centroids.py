"""Class statistics: a few centroids for each class, with the spread around them.

Letters: K classes seen, M centroids of a class at most, D feature width, G centroids in all, n features of a class.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

MAX_ITERATIONS = 300  # of k-means, scikit-learn's default


class Centroids(nn.Module):
    """Means and variances of the clusters that k-means finds in the features of a class.

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
        """Set the centroids of every class that occurs.

        Args:
            features: (N, D).
            labels: (N,) class ids.
        """
        for label in torch.unique(labels).tolist():
            points = features[labels == label].double().cpu()
            groups = k_means(points, max(1, min(self.means.shape[1], len(points) // 2)))
            clusters = [points[groups == group] for group in torch.unique(groups)]
            self.counts[label] = len(clusters)
            self.means[label, : len(clusters)] = torch.stack([c.mean(dim=0) for c in clusters]).to(self.means)
            spread = torch.stack([c.var(dim=0, correction=0) for c in clusters])
            self.variances[label, : len(clusters)] = spread.to(self.variances)

    def rows(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return means (G, D), variances (G, D) and class ids (G,) of all centroids there are."""
        filled = torch.arange(self.means.shape[1], device=self.counts.device) < self.counts[:, None]
        return self.means[filled], self.variances[filled], filled.nonzero()[:, 0]


def k_means(points: Tensor, num_clusters: int) -> Tensor:
    """Cluster by Lloyd's iterations from k-means++ seeds (Arthur & Vassilvitskii, 2007), until nothing moves.

    Args:
        points: (n, D), float64.
        num_clusters: At most n; points that coincide may make fewer.

    Returns:
        (n,) cluster of each point.
    """
    centres = _seeds(points, num_clusters)
    groups = torch.full((len(points),), -1)
    for _ in range(MAX_ITERATIONS):
        nearest = _distances(points, centres).argmin(dim=1)
        if torch.equal(nearest, groups):
            break
        groups = nearest
        members = (groups == torch.arange(len(centres))[:, None]).to(points)  # (clusters, n)
        sizes = members.sum(dim=1, keepdim=True)
        centres = torch.where(sizes > 0, members @ points / sizes.clamp_min(1), centres)
    return groups


def _seeds(points: Tensor, num_clusters: int) -> Tensor:
    """Draw each next seed with a probability that grows as its squared distance to the seeds so far."""
    centres = points[torch.randint(len(points), (1,))]
    while len(centres) < num_clusters:
        nearest = _distances(points, centres).amin(dim=1).square()
        if not nearest.any():
            break
        centres = torch.cat([centres, points[torch.multinomial(nearest, 1)]])
    return centres


def _distances(points: Tensor, centres: Tensor) -> Tensor:
    return torch.cdist(points, centres, compute_mode="donot_use_mm_for_euclid_dist")
