"""TrivialAugment (Mueller and Hutter 2021), kept to what a radiograph may undergo. No Spark."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from cxr_spark.augmentation import kernels, values
from cxr_spark.augmentation.kinds import BatchAugmentation

#: What may be done with an image. Operations on colours are left out, and those after which it is no radiograph any
#: more: solarizing, posterizing, equalizing and stretching of its grey values.
OPERATIONS = ("nothing", "rotate", "shift_x", "shift_y", "shear_x", "shear_y", "brightness", "contrast", "sharpness")
_MOVES = OPERATIONS[1:6]


class Trivial(BatchAugmentation):
    """Does one thing to each image, drawn from nine, as strongly as a second draw says, either way.

    These are: nothing, rotation, shift and shear in x and y, brightness, contrast and sharpness. All are as likely. The
    strength is uniform between none and the largest one of its operation.
    """

    name = "trivial_augment"
    draws = 3

    degrees: Annotated[float, Field(ge=0, le=180, description="largest rotation either way, 0 to 180")] = 15.0
    shift: Annotated[
        float, Field(ge=0, lt=1, description="largest shift either way as a fraction of the side, 0 to below 1")
    ] = 0.1
    shear: Annotated[float, Field(ge=0, lt=90, description="largest shear either way in degrees, 0 to below 90")] = 10.0
    brightness: Annotated[float, Field(ge=0, le=1, description="largest change of the brightness, 0 to 1")] = 0.4
    contrast: Annotated[float, Field(ge=0, le=1, description="largest change of the contrast, 0 to 1")] = 0.4
    sharpness: Annotated[float, Field(ge=0, le=1, description="largest change of the sharpness, 0 to 1")] = 0.9

    def _apply(self, batch: torch.Tensor, numbers: NDArray[np.float64]) -> torch.Tensor:
        chosen = (numbers[:, 0] * len(OPERATIONS)).astype(np.int64)
        strength = numbers[:, 1] * np.where(numbers[:, 2] < 0.5, -1.0, 1.0)
        result = batch.clone()
        moved = np.flatnonzero((chosen >= 1) & (chosen <= len(_MOVES)))
        if len(moved):
            matrices = self.matrices(chosen[moved], strength[moved], batch.shape[1], batch.shape[2])
            _put(result, moved, kernels.affine(_take(batch, moved), matrices))
        for name, change, largest in (
            ("brightness", kernels.scale_brightness, self.brightness),
            ("contrast", values.scale_contrast, self.contrast),
            ("sharpness", values.scale_sharpness, self.sharpness),
        ):
            rows = np.flatnonzero(chosen == OPERATIONS.index(name))
            if len(rows):
                factors = 1 + largest * strength[rows]
                _put(result, rows, change(_take(batch, rows), factors))
        return result

    def matrices(
        self, chosen: NDArray[np.int64], strength: NDArray[np.float64], height: int, width: int
    ) -> NDArray[np.float64]:
        """Turns drawn operations into the maps that `kernels.affine` takes.

        Args:
            chosen: (N,), the position of each image's operation in `OPERATIONS`, of those that move pixels.
            strength: (N,), from -1 to 1.
            height: the height of the images in pixels.
            width: the width of the images in pixels.

        Returns:
            (N, 2, 3), each the map from output pixels to input pixels, counted from the centre.
        """

        def of(name: str, largest: float) -> NDArray[np.float64]:
            return np.where(chosen == OPERATIONS.index(name), largest * strength, 0.0)

        angle = np.deg2rad(of("rotate", self.degrees))
        slope_x = np.tan(np.deg2rad(of("shear_x", self.shear)))
        slope_y = np.tan(np.deg2rad(of("shear_y", self.shear)))
        maps = np.zeros((len(chosen), 2, 3))
        maps[:, 0, 0] = maps[:, 1, 1] = np.cos(angle)
        maps[:, 0, 1] = np.sin(angle) + slope_x
        maps[:, 1, 0] = -np.sin(angle) + slope_y
        maps[:, 0, 2] = -width * of("shift_x", self.shift)
        maps[:, 1, 2] = -height * of("shift_y", self.shift)
        return maps


def _take(batch: torch.Tensor, rows: NDArray[np.int64]) -> torch.Tensor:
    return batch[torch.from_numpy(rows).to(batch.device)]


def _put(batch: torch.Tensor, rows: NDArray[np.int64], images: torch.Tensor) -> None:
    batch[torch.from_numpy(rows).to(batch.device)] = images
