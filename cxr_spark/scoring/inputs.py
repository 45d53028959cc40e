"""What goes into a network and what comes out of it, whatever library runs it. It needs numpy alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cxr_spark.errors import DataError, RunError
from cxr_spark.imaging.resize import resize
from cxr_spark.models.metadata import ModelMetadata, Preprocessing


def check_images(pixels: NDArray[np.uint8]) -> None:
    """Checks that images are square and grey: uint8 (N, S, S).

    Raises:
        DataError: they have another shape or dtype.
    """
    if pixels.ndim != 3 or pixels.shape[1] != pixels.shape[2] or pixels.dtype != np.uint8:
        raise DataError(f"images are {pixels.dtype} {pixels.shape}: expected square grey images, uint8 (N, S, S)")


def network_input(pixels: NDArray[np.uint8], preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """Brings prepared images to the network's input, as training did.

    Args:
        pixels: uint8 (N, S, S); S is usually the size that the training images were stored at.
        preprocessing: the preprocessing of the model.

    Returns:
        Contiguous uint8 (N, input_size, input_size): the middle of images of the stored size (with an odd margin the
        extra row and column are left out at the bottom and right), or the whole of them, resized.
    """
    wanted = preprocessing.input_size
    side = preprocessing.stored_size if preprocessing.crop else wanted
    if pixels.shape[1] != side:
        pixels = np.stack([resize(image, side, "squash") for image in pixels])
    first = (side - wanted) // 2
    return np.require(pixels[:, first : first + wanted, first : first + wanted], requirements=["C", "W"])


def check_numbers(probabilities: NDArray[np.float32], metadata: ModelMetadata) -> NDArray[np.float32]:
    """Returns the probabilities that a model gave.

    Raises:
        RunError: one of them is not a number.
    """
    if np.isnan(probabilities).any():
        raise RunError(f"model {metadata.model_id[:12]} gives probabilities that are not numbers: train it again")
    return probabilities
