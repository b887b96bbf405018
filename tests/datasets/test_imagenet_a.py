"""ImageNet-A is read by the code of ImageNet-R; test_imagenet_r.py runs on both. Here is what sets it apart."""

import pytest

from sdlora.datasets.base import DATASETS
from sdlora.errors import DataError


def test_its_own_layout_is_printed(tmp_path):
    with pytest.raises(DataError, match=r"imagenet_a is not at .*\nExpected: .*FOLDER/imagenet-a/<wnid>/\*\.jpg"):
        DATASETS.get("imagenet_a")(tmp_path / "nowhere", 32)


def test_the_folder_of_the_other_archive_is_not_taken_for_it(tmp_path):
    (tmp_path / "imagenet-r" / "n01443537").mkdir(parents=True)
    with pytest.raises(DataError, match="imagenet-r has no image"):
        DATASETS.get("imagenet_a")(tmp_path, 32)
