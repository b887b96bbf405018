import io

import numpy as np
import pytest
import torch
from pictures import encode, photo
from PIL import Image
from timm.data import create_transform
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional

from sdlora.datasets.base import AugmentOptions
from sdlora.datasets.images import shrink
from sdlora.streams.resample import pack_boxes, resample_batch, resample_each
from sdlora.streams.views import central_views, random_views

SIDES = [(80, 107), (64, 64), (61, 200), (150, 40), (33, 31), (300, 260), (48, 64), (17, 90), (120, 131)]
IMAGES = [photo(*size, seed=seed) for seed, size in enumerate(SIDES)]
SIZES = np.array(SIDES)
PICTURE = 56
MODES = {"bilinear": InterpolationMode.BILINEAR, "bicubic": InterpolationMode.BICUBIC}


def all_views():
    """Random and central views of all images, with every shape of box: enlarged, shrunk, both at once."""
    for key in range(4):
        yield random_views(SIZES, PICTURE, AugmentOptions(), key=key, ids=np.arange(len(IMAGES)))
    yield central_views(SIZES, PICTURE, AugmentOptions())
    yield central_views(SIZES, PICTURE, AugmentOptions(test_crop=1.0))


def torchvision_pictures(views, dtype):
    """Crop, resize, crop and flip by torchvision, on bytes or on doubles: levels (N, 3, P, P)."""
    pictures = []
    for image, box, grid, corner, flip in zip(
        IMAGES, views.boxes.tolist(), views.grids.tolist(), views.corners.tolist(), views.flips, strict=True
    ):
        channels = torch.from_numpy(image).permute(2, 0, 1).to(dtype)
        resized = functional.resized_crop(channels, *box, grid, interpolation=MODES[views.filter], antialias=True)
        window = functional.crop(resized, *corner, PICTURE, PICTURE)
        pictures.append(functional.horizontal_flip(window) if flip else window)
    return torch.stack(pictures)


def test_each_is_torchvisions_to_the_bit():
    for views in all_views():
        pictures = resample_each(IMAGES, views, PICTURE)
        assert pictures.shape == (len(IMAGES), 3, PICTURE, PICTURE)
        assert pictures.dtype == torch.float32
        assert pictures.is_contiguous()
        assert torch.equal(pictures, torchvision_pictures(views, torch.uint8).float() / 255)


def test_batch_is_torchvisions_in_exact_arithmetic_rounded():
    for views in all_views():
        pictures = resample_batch(pack_boxes(IMAGES, views), views, PICTURE)
        assert pictures.shape == (len(IMAGES), 3, PICTURE, PICTURE)
        assert pictures.dtype == torch.float32
        exact = torchvision_pictures(views, torch.float64).clamp(0, 255)
        assert (pictures.double() * 255 - exact).abs().max() < 0.501
        assert torch.allclose(pictures * 255, (pictures * 255).round(), atol=1e-4)


def test_both_ways_give_the_same_pictures():
    """Bytes are rounded between the two axes as well, hence a level more."""
    for views in all_views():
        one = resample_each(IMAGES, views, PICTURE)
        two = resample_batch(pack_boxes(IMAGES, views), views, PICTURE)
        difference = (one - two).abs() * 255
        assert difference.max() < (1.01 if views.filter == "bilinear" else 4.01)
        assert difference.mean() < 0.3


def test_pillow_is_close():
    views = random_views(SIZES, PICTURE, AugmentOptions(flip=False), key=2, ids=np.arange(len(IMAGES)))
    ours = (resample_each(IMAGES, views, PICTURE) * 255).permute(0, 2, 3, 1).numpy()
    for image, (top, left, height, width), picture in zip(IMAGES, views.boxes, ours, strict=True):
        box = Image.fromarray(image).crop((left, top, left + width, top + height))
        oracle = np.asarray(box.resize((PICTURE, PICTURE), Image.Resampling.BILINEAR)).astype(float)
        assert np.abs(oracle - picture).max() <= 1.01


@pytest.mark.parametrize(("picture", "test_crop"), [(56, 0.875), (32, 0.9), (48, 1.0)])
def test_a_test_picture_is_timms(picture, test_crop):
    """Exactly so for images shrunk as on disk; within rounding when all is done at once."""
    timm_transform = create_transform(
        (3, picture, picture), interpolation="bicubic", crop_pct=test_crop, mean=(0, 0, 0), std=(1, 1, 1)
    )
    options = AugmentOptions(test_crop=test_crop)
    large = [image for image in IMAGES if min(image.shape[:2]) > options.shorter_side(picture)]
    assert len(large) >= 3
    expected = torch.stack([timm_transform(Image.open(io.BytesIO(encode(image)))) for image in large])
    stored = [shrink(image, options.shorter_side(picture)) for image in large]
    for images, limit in ((stored, 1e-6), (large, 2.01)):
        views = central_views(np.array([image.shape[:2] for image in images]), picture, options)
        assert ((resample_each(images, views, picture) - expected).abs() * 255).max() <= limit


def test_a_picture_of_the_right_size_is_untouched():
    images = [photo(PICTURE, PICTURE, seed=seed) for seed in range(3)]
    views = central_views(np.full((3, 2), PICTURE), PICTURE, AugmentOptions(test_crop=1.0))
    expected = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2) / 255
    assert torch.equal(resample_each(images, views, PICTURE), expected)
    assert torch.equal(resample_batch(pack_boxes(images, views), views, PICTURE), expected)


def test_a_picture_does_not_depend_on_its_neighbours():
    views = random_views(SIZES, PICTURE, AugmentOptions(), key=8, ids=np.arange(len(IMAGES)))
    together = resample_batch(pack_boxes(IMAGES, views), views, PICTURE)
    for index, image in enumerate(IMAGES):
        alone = random_views(SIZES[index : index + 1], PICTURE, AugmentOptions(), key=8, ids=np.array([index]))
        apart = resample_batch(pack_boxes([image], alone), alone, PICTURE)
        assert ((apart[0] - together[index]).abs() * 255).max() < 1.01  # a sum in another order may round otherwise
        assert torch.equal(resample_each([image], alone, PICTURE)[0], resample_each(IMAGES, views, PICTURE)[index])


def test_packing_holds_the_boxes_and_nothing_else():
    views = random_views(SIZES, PICTURE, AugmentOptions(), key=1, ids=np.arange(len(IMAGES)))
    packed = pack_boxes(IMAGES, views)
    assert packed.shape == (len(IMAGES), *views.boxes[:, 2:].max(axis=0), 3)
    for row, image, (top, left, height, width) in zip(packed.numpy(), IMAGES, views.boxes, strict=True):
        assert np.array_equal(row[:height, :width], image[top : top + height, left : left + width])
        assert not row[height:].any()
        assert not row[:, width:].any()
