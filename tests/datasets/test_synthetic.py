import numpy as np

from sdlora.datasets.synthetic import synthetic


def test_counts_shapes_and_seeds():
    dataset = synthetic(None, 12, num_classes=7, train_images=5, test_images=3)
    assert len(dataset.classes) == len(set(dataset.classes)) == 7
    assert dataset.train.images.shape == (35, 12, 12, 3)
    assert np.bincount(dataset.test.labels).tolist() == [3] * 7
    again, other = (synthetic(None, 12, num_classes=7, train_images=5, test_images=3, seed=seed) for seed in (0, 1))
    assert again.train.digest == dataset.train.digest != other.train.digest


def test_a_class_looks_like_itself():
    """Classes can be told apart by their mean colour: what is taught can be learnt."""
    dataset = synthetic(None, 16, num_classes=10)
    colour = lambda split: split.images.reshape(len(split.labels), -1, 3).mean(axis=1)  # noqa: E731
    means = np.stack([colour(dataset.train)[dataset.train.labels == label].mean(axis=0) for label in range(10)])
    nearest = np.linalg.norm(colour(dataset.test)[:, None] - means, axis=2).argmin(axis=1)
    assert (nearest == dataset.test.labels).mean() > 0.9


def test_train_and_test_share_no_image():
    dataset = synthetic(None, 8)
    assert not set(map(bytes, dataset.train.images)) & set(map(bytes, dataset.test.images))
