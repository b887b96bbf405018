import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from sdlora.datasets.digits import digits


def test_every_scan_is_there_once_and_each_class_is_divided_alike():
    dataset = digits(None, 8)
    assert len(dataset.classes) == 10
    for label in range(10):
        train, test = (int((split.labels == label).sum()) for split in (dataset.train, dataset.test))
        assert train + test == (load_digits().target == label).sum()
        assert abs(test / (train + test) - 0.2) < 0.003
    ours = np.concatenate([dataset.train.images, dataset.test.images])[..., 0]
    theirs = np.rint(load_digits().images / 16 * 255).astype(np.uint8)
    assert sorted(map(bytes, ours)) == sorted(map(bytes, theirs))


def test_scans_keep_their_labels():
    dataset = digits(None, 8)
    scans = load_digits()
    pixels = np.rint(scans.images / 16 * 255).astype(np.uint8)
    known = {bytes(scan): label for scan, label in zip(pixels, scans.target, strict=True)}
    for image, label in zip(dataset.test.images, dataset.test.labels, strict=True):
        assert known[bytes(np.ascontiguousarray(image[..., 0]))] == label


def test_enlarged_as_pillow_does():
    small, large = digits(None, 8), digits(None, 32)
    assert large.train.images.shape == (len(small.train.labels), 32, 32, 3)
    assert large.train.images.dtype == np.uint8
    for index in range(0, 1400, 200):
        image = large.train.images[index]
        assert (image == image[..., :1]).all()
        oracle = Image.fromarray(small.train.images[index][..., 0]).resize((32, 32), Image.Resampling.BILINEAR)
        assert np.abs(image[..., 0].astype(int) - np.asarray(oracle).astype(int)).max() <= 1


def test_split_never_changes():
    assert digits(None, 8).train.digest[:16] == "265c3cc02ba8570f"
