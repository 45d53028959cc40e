"""Changes whole batches of images, as pure functions of torch tensors on any device. No Spark, no random draws.

A batch of grey images is (N, H, W), uint8 or floating point with values 0..255. The network's input is (N, 3, H, W).
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from cxr_spark.errors import DataError
from cxr_spark.imaging.imagenet import IMAGENET_MEAN_BGR
from cxr_spark.imaging.resize import ResizeMode
from cxr_spark.imaging.resize import resize as resize_image

#: The largest difference allowed between the three channels of a grey image once the means are added back. float32
#: keeps them to 1e-5.
_GREY_TOLERANCE = 1e-2


def imagenet_bgr(pixels: torch.Tensor, memory_format: torch.memory_format = torch.contiguous_format) -> torch.Tensor:
    """Turns images into the network's input: blue, green, red, each minus its ImageNet mean.

    Args:
        pixels: (N, H, W) grey or (N, 3, H, W) in red, green, blue order; uint8 or floating point, 0..255.
        memory_format: the memory format of the result; `torch.channels_last` where the network runs in it.

    Returns:
        float32 (N, 3, H, W) on the device of `pixels`.

    Raises:
        DataError: `pixels` has another shape.
    """
    if pixels.ndim == 3:
        planes = pixels.unsqueeze(1)
    elif pixels.ndim == 4 and pixels.shape[1] == 3:
        planes = pixels.flip(1)
    else:
        raise DataError(f"a batch of shape {tuple(pixels.shape)}: expected (N, H, W) grey or (N, 3, H, W) RGB")
    n, (height, width) = pixels.shape[0], pixels.shape[-2:]
    result = torch.empty((n, 3, height, width), device=pixels.device, memory_format=memory_format)
    mean = torch.tensor(IMAGENET_MEAN_BGR, device=pixels.device).view(1, 3, 1, 1)
    # One pass that writes straight into the result, without a float copy of the grey batch.
    return torch.sub(planes, mean, out=result)


def grey_from_bgr(bgr: torch.Tensor) -> torch.Tensor:
    """Undoes `imagenet_bgr` for grey images, exactly: the nearest integer, once the means are added back.

    Args:
        bgr: floating point (N, 3, H, W), as `imagenet_bgr` gives it.

    Returns:
        uint8 (N, H, W) on the device of `bgr`.

    Raises:
        DataError: `bgr` has another shape; its channels disagree, so the images are not grey or were prepared another
            way; or the values are not within 0..255.
    """
    if bgr.ndim != 4 or bgr.shape[1] != 3 or not bgr.is_floating_point():
        raise DataError(f"a {bgr.dtype} batch of shape {tuple(bgr.shape)}: expected floating point (N, 3, H, W)")
    mean = torch.tensor(IMAGENET_MEAN_BGR, device=bgr.device).view(1, 3, 1, 1)
    planes = bgr.float() + mean
    if planes.numel() == 0:
        return planes[:, 0].to(torch.uint8)
    low, high = torch.aminmax(planes, dim=1)
    # Written so that NaN fails it.
    if not bool(((high - low) <= _GREY_TOLERANCE).all()):
        raise DataError(
            "the three channels are not one grey image minus the ImageNet means: expected ImageNetBGR's output"
        )
    grey = planes[:, 0].round()
    smallest, largest = float(grey.min()), float(grey.max())
    if not (smallest >= 0 and largest <= 255):
        raise DataError(
            f"grey values from {smallest:g} to {largest:g}: expected 0 to 255 once the ImageNet means are added"
        )
    return grey.to(torch.uint8)


def flip(batch: torch.Tensor, mask: torch.Tensor, dim: int) -> torch.Tensor:
    """Mirrors those images of a batch that a mask chooses.

    Args:
        batch: (N, ..., H, W), any dtype.
        mask: bool (N,), best on the CPU; true means that the image is mirrored.
        dim: -1: left to right; -2: upside down.

    Returns:
        A new tensor like `batch`; `batch` itself where nothing is mirrored.
    """
    chosen = mask.nonzero()[:, 0].to(batch.device)
    if len(chosen) == 0:
        return batch
    return batch.index_copy(0, chosen, batch[chosen].flip(dim))


def center_crop(batch: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Cuts the middle out of a batch; with an odd margin the extra row or column goes at the bottom or right.

    Args:
        batch: (..., H, W), any dtype.
        height: the number of rows to keep, at most H.
        width: the number of columns to keep, at most W.

    Returns:
        (..., height, width), a view.

    Raises:
        DataError: the images are smaller than the window.
    """
    check_crop((batch.shape[-2], batch.shape[-1]), height, width)
    top, left = (batch.shape[-2] - height) // 2, (batch.shape[-1] - width) // 2
    return batch[..., top : top + height, left : left + width]


def random_crop(batch: torch.Tensor, offsets: NDArray[np.int64], height: int, width: int) -> torch.Tensor:
    """Cuts a window of its own out of each image.

    Args:
        batch: (N, H, W), any dtype.
        offsets: (N, 2), the top row and left column of each window.
        height: the number of rows of a window, at most H.
        width: the number of columns of a window, at most W.

    Returns:
        A new tensor (N, height, width).

    Raises:
        DataError: the images are smaller than the window.
    """
    check_crop((batch.shape[-2], batch.shape[-1]), height, width)
    top, left = torch.from_numpy(np.ascontiguousarray(offsets.T)).to(batch.device)
    # All windows as a view without a copy, from which one gather takes N.
    windows = batch.unfold(1, height, 1).unfold(2, width, 1)
    return windows[torch.arange(len(batch), device=batch.device), top, left]


def affine(batch: torch.Tensor, matrices: NDArray[np.float64]) -> torch.Tensor:
    """Moves each image by an affine map of its own, with bilinear interpolation.

    What comes from outside the image is black. The whole batch takes one call.

    Args:
        batch: (N, H, W), uint8 or floating point.
        matrices: (N, 2, 3), each the map from an output pixel to the input pixel that it shows, in pixels (x to the
            right, y down) from the image's centre.

    Returns:
        A new tensor of the shape and dtype of `batch`; uint8 is rounded to nearest.
    """
    height, width = batch.shape[-2:]
    # grid_sample counts from -1 to 1 across the image, whatever its sides: half a side is one unit.
    half = np.array([width / 2, height / 2])
    theta = matrices.copy()
    theta[:, :, :2] *= half / half[:, None]
    theta[:, :, 2] /= half
    work = batch if batch.is_floating_point() else batch.float()
    grid = torch.nn.functional.affine_grid(
        torch.from_numpy(theta).to(device=batch.device, dtype=work.dtype),
        [len(batch), 1, height, width],
        align_corners=False,
    )
    moved = torch.nn.functional.grid_sample(work.unsqueeze(1), grid, padding_mode="zeros", align_corners=False)[:, 0]
    return moved if batch.is_floating_point() else moved.round_().to(batch.dtype)


def scale_brightness(batch: torch.Tensor, factors: NDArray[np.float64]) -> torch.Tensor:
    """Multiplies each image by a factor of its own and clamps to 0..255.

    Args:
        batch: (N, H, W), uint8 or floating point, 0..255.
        factors: (N,), not negative.

    Returns:
        A new tensor of the shape and dtype of `batch`; uint8 is rounded to nearest.
    """
    scaled = batch * torch.from_numpy(factors).to(device=batch.device, dtype=torch.float32).view(-1, 1, 1)
    scaled.clamp_(0, 255)
    return scaled.to(batch.dtype) if batch.is_floating_point() else scaled.round_().to(batch.dtype)


def resize(batch: torch.Tensor, size: int, mode: ResizeMode = "squash") -> torch.Tensor:
    """Resizes images to squares, each as `cxr_spark.imaging.resize.resize` does, on the CPU.

    Args:
        batch: uint8 (N, H, W).
        size: the side of the result in pixels.
        mode: squash, pad or crop, see `cxr_spark.imaging.resize`.

    Returns:
        uint8 (N, size, size) on the device of `batch`.
    """
    result = np.empty((len(batch), size, size), dtype=np.uint8)
    for i, image in enumerate(batch.cpu().numpy()):
        result[i] = resize_image(image, size, mode)
    return torch.from_numpy(result).to(batch.device)


def check_crop(size: tuple[int, int], height: int, width: int) -> None:
    """Checks that a window fits into images.

    Args:
        size: (height, width) of the images in pixels.
        height: the window's height in pixels.
        width: the window's width in pixels.

    Raises:
        DataError: the window is larger than the images.
    """
    if size[0] < height or size[1] < width:
        raise DataError(
            f"cannot crop {height} x {width} out of images of {size[0]} x {size[1]}: "
            "crop less, or resize them to more than that first"
        )
