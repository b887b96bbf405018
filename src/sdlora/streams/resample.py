"""Turn views of images into pictures, antialiased as torchvision and Pillow do it.

On a CPU each image goes through PyTorch's kernel for bytes, the fastest there is. An accelerator would spend its time
on starting kernels, so there a whole batch is two matrix products: resizing is linear and separable, hence

    picture = R_y  box  R_x^T

with the filter's weights, window and mirroring in R_y and R_x. Both round to whole levels, as the bytes of a file do.

Letters: N images, P side of a picture, H and W sides of the largest box.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from sdlora.streams.views import Views


def resample_each(images: Sequence[NDArray[np.uint8]], views: Views, picture: int) -> Tensor:
    """Make the pictures one by one, on the CPU.

    Args:
        images: N images (height, width, 3).
        views: What to see of each.
        picture: Side P, pixels.

    Returns:
        (N, 3, P, P), float32 in 0..1.
    """
    pictures = torch.empty((len(images), 3, picture, picture), dtype=torch.uint8)
    rows = zip(pictures, images, views.boxes.tolist(), views.grids.tolist(), views.corners.tolist(), strict=True)
    for row, image, (top, left, height, width), grid, (y, x) in rows:
        box = torch.from_numpy(image[top : top + height, left : left + width])[None].permute(0, 3, 1, 2)
        if grid != [height, width]:
            box = F.interpolate(box, size=grid, mode=views.filter, antialias=True, align_corners=False)
        row.copy_(box[0, :, y : y + picture, x : x + picture])
    flips = torch.from_numpy(views.flips)
    pictures[flips] = pictures[flips].flip(3)
    return pictures.float().div_(255)


def pack_boxes(images: Sequence[NDArray[np.uint8]], views: Views, *, pinned: bool = False) -> Tensor:
    """Copy the boxes of all images into one tensor of bytes (N, H, W, 3), ready to be sent to an accelerator.

    Args:
        images: N images (height, width, 3).
        views: What to see of each.
        pinned: Whether to use page-locked memory, from which CUDA copies while the CPU goes on.
    """
    height, width = views.boxes[:, 2:].max(axis=0).tolist()
    packed = torch.zeros((len(images), height, width, 3), dtype=torch.uint8, pin_memory=pinned)
    for row, image, (top, left, rows, columns) in zip(packed.numpy(), images, views.boxes.tolist(), strict=True):
        row[:rows, :columns] = image[top : top + rows, left : left + columns]
    return packed


def resample_batch(packed: Tensor, views: Views, picture: int) -> Tensor:
    """Make all pictures at once, on the device that holds the boxes.

    Args:
        packed: (N, H, W, 3), the boxes, each in its upper left corner.
        views: What was packed.
        picture: Side P, pixels.

    Returns:
        (N, 3, P, P), float32 in 0..1.
    """
    boxes, device = packed.permute(0, 3, 1, 2).float(), packed.device
    vertical = _weights(views, 0, boxes.shape[2], picture).to(device)
    horizontal = _weights(views, 1, boxes.shape[3], picture).to(device)
    pictures = vertical[:, None] @ boxes @ horizontal[:, None].transpose(2, 3)
    return pictures.round_().clamp_(0, 255).div_(255)


def _weights(views: Views, axis: int, length: int, picture: int) -> Tensor:
    """Return the share of each pixel of a box in each pixel of the picture, along one axis: (N, P, length)."""
    parts = views.boxes[:, 2 + axis], views.grids[:, axis], views.corners[:, axis]
    box, grid, corner = (torch.from_numpy(part) for part in parts)  # (N,) each
    step = (box / grid).double()[:, None]  # pixels of the box to a pixel of the grid
    target = torch.arange(picture).repeat(len(box), 1)
    if axis == 1:
        target = torch.where(torch.from_numpy(views.flips)[:, None], picture - 1 - target, target)
    centre = (target + corner[:, None] + 0.5) * step  # (N, P)
    source = torch.arange(length)
    distance = (source + 0.5 - centre[..., None]) / step.clamp(min=1)[..., None]
    weights = _FILTERS[views.filter](distance.abs()) * (source < box[:, None, None])
    return (weights / weights.sum(dim=2, keepdim=True)).float()


def _bilinear(x: Tensor) -> Tensor:
    return (1 - x).clamp(min=0)


def _bicubic(x: Tensor) -> Tensor:
    """Keys' cubic with a = -1/2, as in Pillow and in PyTorch's antialiased kernel."""
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return torch.where(x < 1, near, torch.where(x < 2, far, 0.0))


_FILTERS = {"bilinear": _bilinear, "bicubic": _bicubic}
