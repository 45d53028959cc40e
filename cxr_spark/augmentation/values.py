"""Changes the grey values of whole batches: contrast, sharpness, and boxes that are painted over. No random draws.

A batch of grey images is (N, H, W), uint8 or floating point with values 0..255, as in `kernels.py`.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray


def scale_contrast(batch: torch.Tensor, factors: NDArray[np.float64]) -> torch.Tensor:
    """Multiplies each image's distance from its own mean by a factor of its own and clamps to 0..255.

    Args:
        batch: (N, H, W), uint8 or floating point, 0..255.
        factors: (N,), not negative.

    Returns:
        A new tensor of the shape and dtype of `batch`; uint8 is rounded to nearest.
    """
    work = batch.float()
    return _blend(work, work.mean(dim=(1, 2), keepdim=True), factors, batch.dtype)


def scale_sharpness(batch: torch.Tensor, factors: NDArray[np.float64]) -> torch.Tensor:
    """Multiplies each image's distance from a smoothed copy by a factor of its own and clamps to 0..255.

    The copy is PIL's and torchvision's: the mean of 3 x 3 pixels, the middle one counted five times. The outermost
    pixels stay as they are.

    Args:
        batch: (N, H, W), uint8 or floating point, 0..255.
        factors: (N,), not negative: 0 gives the smoothed copy, 1 the image, 2 a sharper one.

    Returns:
        A new tensor of the shape and dtype of `batch`; uint8 is rounded to nearest.
    """
    work = batch.float()
    if min(batch.shape[1:]) < 3:
        return batch.clone()
    weights = torch.ones(1, 1, 3, 3, device=batch.device)
    weights[0, 0, 1, 1] = 5
    smooth = work.clone()
    smooth[:, 1:-1, 1:-1] = torch.nn.functional.conv2d(work.unsqueeze(1), weights / weights.sum())[:, 0]
    return _blend(work, smooth, factors, batch.dtype)


def erase(batch: torch.Tensor, boxes: NDArray[np.int64], value: float) -> torch.Tensor:
    """Paints a box of its own over each image.

    Args:
        batch: (N, H, W), any dtype.
        boxes: (N, 4), top row, left column, height and width of each box in pixels; a height of 0 leaves an image.
        value: what the pixels in the boxes become.

    Returns:
        A new tensor of the shape and dtype of `batch`.
    """
    top, left, height, width = torch.from_numpy(np.ascontiguousarray(boxes.T)).to(batch.device)[:, :, None]
    rows = torch.arange(batch.shape[1], device=batch.device)
    columns = torch.arange(batch.shape[2], device=batch.device)
    in_rows = (rows >= top) & (rows < top + height)
    in_columns = (columns >= left) & (columns < left + width)
    return batch.masked_fill(in_rows[:, :, None] & in_columns[:, None, :], value)


def _blend(work: torch.Tensor, other: torch.Tensor, factors: NDArray[np.float64], dtype: torch.dtype) -> torch.Tensor:
    scale = torch.from_numpy(factors).to(device=work.device, dtype=torch.float32).view(-1, 1, 1)
    mixed = (other + (work - other) * scale).clamp_(0, 255)
    return mixed.to(dtype) if dtype.is_floating_point else mixed.round_().to(dtype)
