import numpy as np
import pytest
import torch
from pictures import encode, photo
from PIL import Image

from sdlora.datasets.images import shrink
from sdlora.errors import DataError
from sdlora.learner.pictures import as_many, as_small, image_files


def test_every_form_gives_the_same_pixels(tmp_path):
    pixels = photo(12, 16)
    (tmp_path / "a.png").write_bytes(encode(pixels))
    tensor = torch.from_numpy(pixels).permute(2, 0, 1)
    forms = [pixels, tmp_path / "a.png", str(tmp_path / "a.png"), encode(pixels), bytearray(encode(pixels))]
    forms += [Image.fromarray(pixels), tensor, tensor.double() / 255]
    for form in forms:
        assert np.array_equal(as_small(form, 12), pixels)


def test_every_form_is_shrunk(tmp_path):
    pixels = photo(80, 60)
    (tmp_path / "a.png").write_bytes(encode(pixels))
    for form in (pixels, Image.fromarray(pixels), tmp_path / "a.png", encode(pixels)):
        assert np.array_equal(as_small(form, 20), shrink(pixels, 20))


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (np.zeros((4, 4), np.uint8), r"an array \(4, 4\) of uint8\nExpected: \(H, W, 3\) of uint8"),
        (np.zeros((4, 4, 3)), r"an array \(4, 4, 3\) of float64"),
        (np.zeros((0, 4, 3), np.uint8), r"an array \(0, 4, 3\)"),
        (torch.zeros(4, 4, 3), r"a tensor \(4, 4, 3\)"),
        (torch.full((3, 4, 4), 255.0), r"values from 255 to 255\nExpected: \(3, H, W\), uint8 or float in 0..1"),
        (torch.full((3, 4, 4), float("nan")), r"values from nan"),
        (torch.zeros(3, 4, 4, dtype=torch.int64), r"a tensor of torch.int64"),
        (3, "an image cannot be of type int"),
        (b"no image", "not an image"),
        ("nowhere.png", "nowhere.png cannot be read"),
        (Image.new("F", (4, 4)), "fractions without a stated range"),
    ],
)
def test_what_is_no_image_is_told(image, reason):
    with pytest.raises(DataError, match=reason):
        as_small(image, 8)


def test_what_counts_as_many(tmp_path):
    stack = np.zeros((2, 4, 4, 3), np.uint8)
    for one in (stack[0], torch.zeros(3, 4, 4), b"", "a.png", Image.new("RGB", (2, 2)), tmp_path / "a.png", 3):
        assert as_many(one) is None
    for many in (stack, torch.zeros(2, 3, 4, 4), ["a.png", "b.png"], iter(["a.png", "b.png"])):
        assert len(list(as_many(many))) == 2


def test_a_folder_is_all_images_in_it(tmp_path):
    for name in ("b.PNG", "sub/a.jpg", ".hidden/x.png", ".y.png", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert [path.relative_to(tmp_path).as_posix() for path in image_files(tmp_path)] == ["b.PNG", "sub/a.jpg"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no image in"):
        as_many(tmp_path / "empty")
