import numpy as np
import pytest
from pictures import encode

from sdlora.datasets.base import DATASETS
from sdlora.datasets.domainnet import DOMAINS
from sdlora.errors import DataError

load = DATASETS.get("domainnet")
CLASSES = sorted(["The_Eiffel_Tower", "aircraft_carrier", "t-shirt", *(f"thing_{index}" for index in range(342))])
SHADES = [base + one for base in range(10, 70, 10) for one in (0, 1)]
JPEGS = {shade: encode(np.full((4, 4, 3), shade, np.uint8), "JPEG") for shade in SHADES}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """One image to learn and one to test for each class and domain, laid out as published."""
    root = tmp_path_factory.mktemp("domainnet")
    for domain, shade in zip(DOMAINS, range(10, 70, 10), strict=True):
        lines = {"train": [], "test": []}
        for label, name in enumerate(CLASSES):
            if (domain, name) == ("painting", "t-shirt"):  # missing from the published list, too
                continue
            (root / domain / name).mkdir(parents=True)
            for number, part in enumerate(lines, start=1):
                path = f"{domain}/{name}/{domain}_{label + 1:03}_{number:06}.jpg"
                (root / path).write_bytes(JPEGS[shade + number - 1])
                lines[part].append(f"{path} {label}")
        for part, rows in lines.items():
            (root / f"{domain}_{part}.txt").write_text("\n".join(rows) + "\n")
    return root


def relisted(root, folder, name, line):
    """A copy of the lists in `folder`, the first line of one of them replaced."""
    for domain in DOMAINS:
        (folder / domain).symlink_to(root / domain)
        for part in ("train", "test"):
            lines = (root / f"{domain}_{part}.txt").read_text().splitlines()
            (folder / f"{domain}_{part}.txt").write_text("\n".join(lines))
    lines = (folder / name).read_text().splitlines()
    (folder / name).write_text("\n".join([line, *lines[1:]]))
    return folder


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("real/../../secret/1.jpg 0", r'"real/\.\./\.\./secret/1\.jpg" in real_test\.txt'),
        ("real/The_Eiffel_Tower 0", "<domain>/<class>/<file>"),
        ("real/The_Eiffel_Tower/1.jpg 1", r'class 1 is "aircraft_carrier" and, in real_test\.txt, "The_Eiffel_Tower"'),
        ("real/new/1.jpg 345", "domainnet has 346 classes\nExpected: 345"),
        ("real/The_Eiffel_Tower/1.jpg", r"line 1 of .*real_test\.txt"),
    ],
)
def test_lists_that_do_not_fit(root, tmp_path, line, message):
    with pytest.raises(DataError, match=message):
        load(relisted(root, tmp_path, "real_test.txt", line), 8)


def test_without_one_of_its_lists_it_is_not_there(root, tmp_path):
    relisted(root, tmp_path, "real_test.txt", "").joinpath("sketch_train.txt").unlink()
    with pytest.raises(DataError, match="domainnet is not at") as caught:
        load(tmp_path, 8)
    assert "FOLDER/<domain>_train.txt" in str(caught.value)
