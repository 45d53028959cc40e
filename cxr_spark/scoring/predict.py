"""Probabilities of a batch of grey images, as pure torch code: the score job, Spark ML and validation share it."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cxr_spark.augmentation.kernels import center_crop, imagenet_bgr
from cxr_spark.errors import DataError, RunError
from cxr_spark.imaging.resize import resize
from cxr_spark.models.device import Compute, choose_to_score
from cxr_spark.models.metadata import ModelMetadata, Preprocessing


@torch.inference_mode()
def predict(
    module: nn.Module,
    metadata: ModelMetadata,
    pixels: NDArray[np.uint8],
    *,
    compute: Compute | None = None,
    batch: int = 32,
) -> NDArray[np.float32]:
    """Computes probabilities.

    Args:
        module: the network, placed by `compute.place` and in evaluation mode.
        metadata: the metadata of the model, which say how images are brought to the network's input.
        pixels: uint8 (N, S, S) grey images of any one side S.
        compute: the device and the precision; None for the best device in float32.
        batch: the number of images in a forward pass.

    Returns:
        float32 (N, K) between 0 and 1, in the order of `metadata.findings`.

    Raises:
        DataError: `pixels` has another shape or dtype.
        RunError: a probability is not a number.
    """
    if pixels.ndim != 3 or pixels.shape[1] != pixels.shape[2] or pixels.dtype != np.uint8:
        raise DataError(f"images are {pixels.dtype} {pixels.shape}: expected square grey images, uint8 (N, S, S)")
    compute = compute or choose_to_score("auto")
    results = [np.empty((0, metadata.n_outputs), np.float32)]
    for start in range(0, len(pixels), batch):
        images = network_input(pixels[start : start + batch], metadata.preprocessing).to(compute.device)
        with compute.autocast():
            logits = module(imagenet_bgr(images, torch.channels_last))
        results.append(activate(logits, metadata.task).cpu().numpy())
    probabilities = np.concatenate(results)
    if np.isnan(probabilities).any():
        raise RunError(f"model {metadata.model_id[:12]} gives probabilities that are not numbers: train it again")
    return probabilities


def activate(logits: torch.Tensor, task: str) -> torch.Tensor:
    """Turns logits (N, K) into float32 probabilities: a sigmoid for each finding, or one softmax over all classes."""
    logits = logits.float()
    return torch.sigmoid(logits) if task == "multi_label" else torch.softmax(logits, dim=1)


def network_input(pixels: NDArray[np.uint8], preprocessing: Preprocessing) -> torch.Tensor:
    """Brings prepared images to the network's input, as training did.

    Args:
        pixels: uint8 (N, S, S); S is usually the size that the training images were stored at.
        preprocessing: the preprocessing of the model.

    Returns:
        uint8 (N, input_size, input_size): the middle of images of the stored size, or the whole of them, resized.
    """
    side = preprocessing.stored_size if preprocessing.crop else preprocessing.input_size
    if pixels.shape[1] != side:
        pixels = np.stack([resize(image, side, "squash") for image in pixels])
    images = torch.from_numpy(np.require(pixels, requirements=["C", "W"]))
    return center_crop(images, preprocessing.input_size, preprocessing.input_size)
