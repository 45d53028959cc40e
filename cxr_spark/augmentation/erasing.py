"""Random erasing (Zhong et al. 2020): paints over a box, so that no one place of an image decides alone. No Spark."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import AfterValidator, Field

from cxr_spark.augmentation import values
from cxr_spark.augmentation.kinds import BatchAugmentation

#: How many boxes are drawn until one fits into the image; torchvision draws as many.
_ATTEMPTS = 10


def _check_area(area: tuple[float, float]) -> tuple[float, float]:
    if not 0 < area[0] <= area[1] < 1:
        raise ValueError("expected two fractions between 0 and 1, the smaller first, such as [0.02, 0.33]")
    return area


def _check_ratio(ratio: tuple[float, float]) -> tuple[float, float]:
    if not 0 < ratio[0] <= ratio[1]:
        raise ValueError("expected two numbers above 0, the smaller first, such as [0.3, 3.3]")
    return ratio


class Erasing(BatchAugmentation):
    """Paints over a box of random area, shape and place with probability `p`.

    Boxes are drawn as in torchvision's `RandomErasing`: of 10 sizes the first one that fits is taken, and an image into
    which none fits stays as it is.
    """

    name = "random_erasing"
    draws = 3 + 2 * _ATTEMPTS

    p: Annotated[float, Field(ge=0, le=1, description="probability of a box, 0 to 1")] = 0.5
    area: Annotated[
        tuple[float, float],
        Field(strict=False, description="smallest and largest area of the box as a fraction of the image"),
        AfterValidator(_check_area),
    ] = (0.02, 0.33)
    ratio: Annotated[
        tuple[float, float],
        Field(strict=False, description="smallest and largest height of the box divided by its width"),
        AfterValidator(_check_ratio),
    ] = (0.3, 3.3)
    value: Annotated[float, Field(ge=0, le=255, description="grey value of the box, 0 to 255")] = 0.0

    def _apply(self, batch: torch.Tensor, numbers: NDArray[np.float64]) -> torch.Tensor:
        return values.erase(batch, self.boxes(numbers, batch.shape[1], batch.shape[2]), self.value)

    def boxes(self, numbers: NDArray[np.float64], height: int, width: int) -> NDArray[np.int64]:
        """Turns uniform draws into the boxes that `values.erase` takes.

        Args:
            numbers: (N, 23) in [0, 1): for the probability, the row, the column, then an area and a shape for each
                attempt.
            height: the height of the images in pixels.
            width: the width of the images in pixels.

        Returns:
            (N, 4): top row, left column, height and width in pixels; all 0 where nothing is painted over.
        """
        areas = height * width * (self.area[0] + (self.area[1] - self.area[0]) * numbers[:, 3 : 3 + _ATTEMPTS])
        low, high = np.log(self.ratio)
        shapes = np.exp(low + (high - low) * numbers[:, 3 + _ATTEMPTS :])
        rows, columns = np.rint(np.sqrt(areas * shapes)), np.rint(np.sqrt(areas / shapes))
        fits = (rows < height) & (columns < width)
        first = fits.argmax(axis=1)[:, None]
        size = np.concatenate([np.take_along_axis(rows, first, 1), np.take_along_axis(columns, first, 1)], axis=1)
        corner = np.floor(numbers[:, 1:3] * (np.array([height, width]) - size + 1))
        drawn = (numbers[:, 0] < self.p) & fits.any(axis=1)
        found: NDArray[np.int64] = (np.concatenate([corner, size], axis=1) * drawn[:, None]).astype(np.int64)
        return found
