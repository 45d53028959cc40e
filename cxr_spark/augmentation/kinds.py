"""Random augmentations: small frozen objects that change a batch of images on the device, in every epoch anew.

The trainer runs them. Settings files build them by name, and the stages of Spark ML (`RandomHorizontalFlip` and so on)
take their Params from the fields here: name, type, default, range and description. No Spark.
"""

from __future__ import annotations

import json
from typing import Annotated, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from cxr_spark.augmentation import kernels
from cxr_spark.augmentation.draws import uniforms
from cxr_spark.errors import DataError


class BatchAugmentation(BaseModel):
    """A random change of training images. The same image, seed and epoch always get the same change.

    Attributes:
        stream: the number of this augmentation among those of its kind in a list. Two of a kind draw independently.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    name: ClassVar[str]
    #: How many random numbers it draws for each image.
    draws: ClassVar[int]

    stream: Annotated[int, Field(ge=0)] = 0

    def __call__(self, batch: torch.Tensor, keys: NDArray[np.uint64], seed: int, epoch: int) -> torch.Tensor:
        """Augments a batch.

        Args:
            batch: (N, H, W) grey, uint8 or floating point with values 0..255, on any device.
            keys: (N,) keys of the images, from `cxr_spark.augmentation.draws.image_keys`.
            seed: the seed of the run.
            epoch: the number of the epoch, from 0. Every epoch draws anew.

        Returns:
            (N, H', W') of the same dtype on the same device; (H', W') is `output_size((H, W))`.

        Raises:
            DataError: the batch is not (N, H, W) with N keys, or its images are too small.
        """
        if batch.ndim != 3 or len(batch) != len(keys):
            raise DataError(
                f"{self.name}: a batch of shape {tuple(batch.shape)} with {len(keys)} keys: expected (N, H, W) and N"
            )
        if len(batch) == 0:
            return self.deterministic(batch)  # nothing to draw, and torch's samplers refuse an empty batch
        numbers = uniforms(keys, self.draws, seed=seed, epoch=epoch, stage=f"{self.name}/{self.stream}")
        return self._apply(batch, numbers)

    def deterministic(self, batch: torch.Tensor) -> torch.Tensor:
        """Returns the batch as validation and scoring use it: unchanged, unless a subclass says otherwise."""
        return batch

    @property
    def fixed_size(self) -> int | None:
        """The side of its output, where it is a square of always the same size; else None."""
        return None

    def output_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Returns (height, width) of its output for images of (height, width).

        Raises:
            DataError: images of that size are too small.
        """
        return size

    def to_json(self) -> str:
        """Returns JSON that `cxr_spark.augmentation.building.from_json` reads."""
        return json.dumps({"name": self.name, **self.model_dump(mode="json")}, sort_keys=True)

    def _apply(self, batch: torch.Tensor, numbers: NDArray[np.float64]) -> torch.Tensor:
        raise NotImplementedError


class HorizontalFlip(BatchAugmentation):
    """Mirrors an image left to right with probability `p`."""

    name = "random_horizontal_flip"
    draws = 1

    p: Annotated[float, Field(ge=0, le=1, description="probability of a flip, 0 to 1")] = 0.5

    def _apply(self, batch: torch.Tensor, numbers: NDArray[np.float64]) -> torch.Tensor:
        return kernels.flip(batch, torch.from_numpy(numbers[:, 0] < self.p), dim=-1)


class VerticalFlip(BatchAugmentation):
    """Turns an image upside down with probability `p`."""

    name = "random_vertical_flip"
    draws = 1

    p: Annotated[float, Field(ge=0, le=1, description="probability of a flip, 0 to 1")] = 0.5

    def _apply(self, batch: torch.Tensor, numbers: NDArray[np.float64]) -> torch.Tensor:
        return kernels.flip(batch, torch.from_numpy(numbers[:, 0] < self.p), dim=-2)


class Crop(BatchAugmentation):
    """Cuts a window of `size` x `size` pixels at a random place; validation and scoring take the one in the middle."""

    name = "random_crop"
    draws = 2

    size: Annotated[int, Field(ge=1, description="side of the square result, in pixels")] = 224

    @property
    def fixed_size(self) -> int:
        """The side of the window, in pixels."""
        return self.size

    def deterministic(self, batch: torch.Tensor) -> torch.Tensor:
        """Returns the window in the middle."""
        return kernels.center_crop(batch, self.size, self.size)

    def output_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Returns the window's (height, width).

        Raises:
            DataError: the images are smaller than the window.
        """
        kernels.check_crop(size, self.size, self.size)
        return self.size, self.size

    def _apply(self, batch: torch.Tensor, numbers: NDArray[np.float64]) -> torch.Tensor:
        size = (batch.shape[1], batch.shape[2])
        kernels.check_crop(size, self.size, self.size)
        offsets = (numbers * (np.array(size) - self.size + 1)).astype(np.int64)
        return kernels.random_crop(batch, offsets, self.size, self.size)


def _check_zoom(zoom: tuple[float, float]) -> tuple[float, float]:
    if not 0 < zoom[0] <= zoom[1]:
        raise ValueError("expected two factors, both above 0, the smaller first, such as [0.9, 1.1]")
    return zoom


class Affine(BatchAugmentation):
    """Rotates, shifts, shears and zooms about the centre, bilinear, black outside.

    The map is that of torchvision's `functional.affine`: horizontal shear, rotation (clockwise), zoom, then shift.
    """

    name = "random_affine"
    draws = 5

    degrees: Annotated[float, Field(ge=0, le=180, description="largest rotation either way, 0 to 180")] = 0.0
    shift: Annotated[
        float, Field(ge=0, lt=1, description="largest shift either way as a fraction of each side, 0 to below 1")
    ] = 0.0
    shear: Annotated[
        float, Field(ge=0, lt=90, description="largest horizontal shear either way in degrees, 0 to below 90")
    ] = 0.0
    zoom: Annotated[
        tuple[float, float],
        Field(strict=False, description="smallest and largest zoom factor"),
        AfterValidator(_check_zoom),
    ] = (1.0, 1.0)

    def _apply(self, batch: torch.Tensor, numbers: NDArray[np.float64]) -> torch.Tensor:
        return kernels.affine(batch, self.matrices(numbers, batch.shape[1], batch.shape[2]))

    def matrices(self, numbers: NDArray[np.float64], height: int, width: int) -> NDArray[np.float64]:
        """Turns uniform draws into the maps that `kernels.affine` takes.

        Args:
            numbers: (N, 5) in [0, 1): for rotation, shift in x, shift in y, shear and zoom.
            height: the height of the images in pixels.
            width: the width of the images in pixels.

        Returns:
            (N, 2, 3), each the map from output pixels to input pixels, counted from the centre.
        """
        rotation, shift_x, shift_y, sheared, _ = (2 * numbers - 1).T
        angle, shear = np.deg2rad(self.degrees * rotation), np.deg2rad(self.shear * sheared)
        factor = self.zoom[0] + (self.zoom[1] - self.zoom[0]) * numbers[:, 4]
        shift = np.stack([self.shift * shift_x * width, self.shift * shift_y * height], axis=1)
        cos, sin, slope = np.cos(angle), np.sin(angle), np.tan(shear)
        # Input to output is shift + factor * rotation * [[1, -slope], [0, 1]] (determinant factor^2); this inverts it.
        inverse = np.stack([cos - slope * sin, sin + slope * cos, -sin, cos], axis=1).reshape(-1, 2, 2)
        inverse /= factor[:, None, None]
        return np.concatenate([inverse, -(inverse @ shift[:, :, None])], axis=2)


class Brightness(BatchAugmentation):
    """Multiplies the grey values by a factor drawn from 1 - factor..1 + factor and clamps to 0..255."""

    name = "random_brightness"
    draws = 1

    factor: Annotated[float, Field(ge=0, le=1, description="largest change of the brightness, 0 to 1")] = 0.2

    def _apply(self, batch: torch.Tensor, numbers: NDArray[np.float64]) -> torch.Tensor:
        return kernels.scale_brightness(batch, 1 + self.factor * (2 * numbers[:, 0] - 1))
