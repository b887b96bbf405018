"""DomainNet (arXiv 1812.01754): 586,575 images of 345 classes in six styles, with the lists of its cleaned version.

All six domains together are one class-incremental dataset, as in the paper on SD-LoRA.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sdlora.datasets.listing import Listing, check_count, leaves_root, not_there, register_files
from sdlora.datasets.pairs import NUMBER, read_pairs
from sdlora.errors import DataError

DOMAINS = ("clipart", "infograph", "painting", "quickdraw", "real", "sketch")
LAYOUT = (
    "FOLDER/<domain>/<class>/*.jpg, FOLDER/<domain>_train.txt and FOLDER/<domain>_test.txt "
    f"(lines of <path> <number>) for {', '.join(DOMAINS)}"
)


@register_files("domainnet", LAYOUT)
def domainnet(root: Path) -> Listing:
    """List DomainNet, its six archives unpacked beside its twelve lists."""
    lists = [(root / f"{domain}_{part}.txt", part == "test") for part in ("train", "test") for domain in DOMAINS]
    if not all(path.is_file() for path, _ in lists):
        raise not_there("domainnet", root, LAYOUT)
    names: list[str] = []
    labels: list[int] = []
    is_test: list[bool] = []
    classes: dict[int, str] = {}
    for path, for_test in lists:
        for name, number in read_pairs(path, ("<path>", NUMBER)):
            if leaves_root(name) or name.count("/") != 2:
                raise DataError(f'"{name}" in {path.name}', expected="<domain>/<class>/<file>")
            label, folder = int(number), name.split("/")[1]
            if classes.setdefault(label, folder) != folder:
                raise DataError(f'class {label} is "{classes[label]}" and, in {path.name}, "{folder}"')
            names.append(name)
            labels.append(label)
            is_test.append(for_test)
    check_count("domainnet", "classes", len(classes), 345)
    order = sorted(classes)
    return Listing(
        root=root,
        classes=tuple(classes[label] for label in order),
        names=tuple(names),
        labels=np.searchsorted(order, labels),
        is_test=np.array(is_test),
    )
