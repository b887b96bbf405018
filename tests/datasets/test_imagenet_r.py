import numpy as np
import pytest
from pictures import encode, photo

from sdlora.datasets.base import DATASETS
from sdlora.errors import DataError

WNIDS = [f"n{1443537 + 7 * index:08}" for index in range(200)]
PICTURES = [encode(photo(10, 12, seed=index), "JPEG") for index in range(5)]


def unpack(folder, *, wnids=WNIDS, count=5, style="art"):
    """What the archive unpacks to: FOLDER/<wnid>/<style>_<n>.jpg and a README.txt."""
    folder.mkdir(parents=True)
    (folder / "README.txt").write_text("This is the dataset.\n")
    for wnid in wnids:
        (folder / wnid).mkdir()
        for index in range(count):
            (folder / wnid / f"{style}_{index}.jpg").write_bytes(PICTURES[index])
    return folder


@pytest.mark.parametrize(("name", "unpacked"), [("imagenet_r", "imagenet-r"), ("imagenet_a", "imagenet-a")])
def test_unpacked_archive(tmp_path, name, unpacked):
    unpack(tmp_path / "data" / unpacked)
    dataset = DATASETS.get(name)(tmp_path / "data", 8)
    assert dataset.name == name
    assert dataset.classes == tuple(WNIDS)
    assert np.bincount(dataset.train.labels).tolist() == [4] * 200
    assert np.bincount(dataset.test.labels).tolist() == [1] * 200
    assert dataset.default_augment.flip
    assert dataset.notes == ("left out: files beside the class folders 1",)
    same = DATASETS.get(name)(tmp_path / "data" / unpacked, 8)
    assert (same.train.digest, same.test.digest) == (dataset.train.digest, dataset.test.digest)


def test_copies_divided_into_train_and_test(tmp_path):
    unpack(tmp_path / "data" / "train", count=2)
    unpack(tmp_path / "data" / "test", count=1, style="sketch")
    dataset = DATASETS.get("imagenet_r")(tmp_path / "data", 8)
    assert np.bincount(dataset.train.labels).tolist() == [2] * 200
    assert np.bincount(dataset.test.labels).tolist() == [1] * 200


@pytest.mark.parametrize("name", ["imagenet_r", "imagenet_a"])
def test_half_an_archive_is_refused(tmp_path, name):
    unpack(tmp_path / "data", wnids=WNIDS[:150], count=1)
    with pytest.raises(DataError, match=f"{name} has 150 classes\nExpected: 200"):
        DATASETS.get(name)(tmp_path / "data", 8)
