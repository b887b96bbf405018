"""CUB-200-2011 (Caltech technical report CNS-TR-2011-001): 11,788 photographs of 200 kinds of birds, already split."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sdlora.datasets.listing import Listing, check_count, leaves_root, not_there, register_files
from sdlora.datasets.pairs import NUMBER, read_pairs
from sdlora.errors import DataError

TABLES = {
    "classes.txt": (NUMBER, "<class>"),
    "images.txt": (NUMBER, "<path>"),
    "image_class_labels.txt": (NUMBER, NUMBER),
    "train_test_split.txt": (NUMBER, NUMBER),
}
LAYOUT = f"FOLDER/images/<class>/*.jpg with {', '.join(TABLES)}, or all of it in FOLDER/CUB_200_2011"


@register_files("cub200", LAYOUT)
def cub200(root: Path) -> Listing:
    """List CUB-200-2011, as unpacked from ``CUB_200_2011.tgz``."""
    folder = root / "CUB_200_2011" if (root / "CUB_200_2011").is_dir() else root
    if not all((folder / table).is_file() for table in TABLES):
        raise not_there("cub200", root, LAYOUT)
    species, paths, labels, is_train = (dict(read_pairs(folder / name, columns)) for name, columns in TABLES.items())
    check_count("cub200", "classes", len(species), 200)
    if not paths.keys() == labels.keys() == is_train.keys():
        raise DataError(
            f"the tables of cub200 list {len(paths):,}, {len(labels):,} and {len(is_train):,} images",
            expected="the same images in images.txt, image_class_labels.txt and train_test_split.txt",
        )
    if stray := [path for path in paths.values() if leaves_root(path)]:
        raise DataError(f'"{stray[0]}" in images.txt leads out of the folder', expected="<class>/<file>.jpg")
    position = {number: index for index, number in enumerate(species)}
    if unknown := sorted(set(labels.values()) - position.keys()):
        raise DataError(f"class {unknown[0]} of image_class_labels.txt is not in classes.txt")
    return Listing(
        root=folder,
        classes=tuple(name.partition(".")[2] or name for name in species.values()),  # 001.Black_footed_Albatross
        names=tuple(f"images/{path}" for path in paths.values()),
        labels=np.array([position[labels[number]] for number in paths], dtype=np.int64),
        is_test=np.array([is_train[number] == "0" for number in paths]),
    )
