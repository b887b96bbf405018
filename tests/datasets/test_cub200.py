import numpy as np
import pytest
from pictures import encode

from sdlora.datasets.base import DATASETS
from sdlora.datasets.cub200 import TABLES
from sdlora.errors import DataError

load = DATASETS.get("cub200")
SPECIES = [f"{index + 1:03}.Bird_{199 - index}" for index in range(200)]
NUM_IMAGES = 3  # of each species: two to learn, one to test


def unpack(folder):
    """What CUB_200_2011.tgz unpacks to, in miniature: four tables, images by species, and what else it holds."""
    rows = [
        (species, f"{species[4:]}_{index:04}_{17 * index}.jpg", index)
        for species in SPECIES
        for index in range(NUM_IMAGES)
    ]
    for row, (species, file, _) in enumerate(rows):
        (folder / "images" / species).mkdir(parents=True, exist_ok=True)
        (folder / "images" / species / file).write_bytes(encode(np.full((6, 6, 3), row % 251, np.uint8), "JPEG"))
    tables = {
        "classes.txt": [f"{index + 1} {species}" for index, species in enumerate(SPECIES)],
        "images.txt": [f"{row + 1} {species}/{file}" for row, (species, file, _) in enumerate(rows)],
        "image_class_labels.txt": [f"{row + 1} {SPECIES.index(species) + 1}" for row, (species, *_) in enumerate(rows)],
        "train_test_split.txt": [f"{row + 1} {int(index != 1)}" for row, (*_, index) in enumerate(rows)],
        "bounding_boxes.txt": ["1 60.0 27.0 325.0 304.0"],
        "README": ["Caltech-UCSD Birds"],
    }
    for name, lines in tables.items():
        (folder / name).write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("cub")
    unpack(root / "CUB_200_2011")
    return root


def test_own_split_and_names(root):
    dataset = load(root, 8)
    assert dataset.classes == tuple(f"Bird_{199 - index}" for index in range(200))
    assert np.bincount(dataset.train.labels).tolist() == [2] * 200
    assert np.bincount(dataset.test.labels).tolist() == [1] * 200
    for index in (0, 77, 199):
        shown = dataset.test.images[index]
        row = dataset.test.labels[index] * NUM_IMAGES + 1
        assert abs(int(shown.mean()) - row % 251) <= 2


def test_root_may_be_the_unpacked_folder_itself(root):
    assert load(root / "CUB_200_2011", 8).test.digest == load(root, 8).test.digest


@pytest.mark.parametrize("table", TABLES)
def test_without_one_of_its_tables_it_is_not_there(tmp_path, root, table):
    (tmp_path / "images").symlink_to(root / "CUB_200_2011" / "images")
    for name in TABLES.keys() - {table}:
        (tmp_path / name).write_bytes((root / "CUB_200_2011" / name).read_bytes())
    with pytest.raises(DataError, match="cub200 is not at") as caught:
        load(tmp_path, 8)
    assert "FOLDER/images/<class>/*.jpg with classes.txt, images.txt" in str(caught.value)


@pytest.mark.parametrize(
    ("table", "line", "message"),
    [
        ("classes.txt", "", "cub200 has 199 classes"),
        ("images.txt", "1 ../../etc/passwd", r'"\.\./\.\./etc/passwd" in images\.txt leads out'),
        ("images.txt", "", "list 599, 600 and 600 images"),
        ("image_class_labels.txt", "1 555", r"class 555 of image_class_labels\.txt is not in classes\.txt"),
        ("train_test_split.txt", "1 yes", r"line 1 of .*train_test_split\.txt is \"1 yes\""),
        ("images.txt", "1 001.Bird_199/gone.jpg", r"1 of 600 files cannot be used:\n  images/001.Bird_199/gone\.jpg"),
    ],
)
def test_tables_that_do_not_fit(tmp_path, root, table, line, message):
    (tmp_path / "images").symlink_to(root / "CUB_200_2011" / "images")
    for name in TABLES:
        lines = (root / "CUB_200_2011" / name).read_text().splitlines()
        if name == table:
            lines[0] = line
        (tmp_path / name).write_text("\n".join(lines))
    with pytest.raises(DataError, match=message):
        load(tmp_path, 8)
