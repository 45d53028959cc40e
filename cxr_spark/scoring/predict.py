"""Probabilities of a batch of grey images, as pure torch code: the score job, Spark ML and validation share it."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cxr_spark.augmentation.kernels import imagenet_bgr
from cxr_spark.models.device import Compute, choose_to_score
from cxr_spark.models.metadata import ModelMetadata
from cxr_spark.scoring.inputs import check_images, check_numbers, network_input


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
    check_images(pixels)
    compute = compute or choose_to_score("auto")
    results = [np.empty((0, metadata.n_outputs), np.float32)]
    for start in range(0, len(pixels), batch):
        part = network_input(pixels[start : start + batch], metadata.preprocessing)
        images = torch.from_numpy(part).to(compute.device)
        with compute.autocast():
            logits = module(imagenet_bgr(images, torch.channels_last))
        results.append(activate(logits, metadata.task).cpu().numpy())
    return check_numbers(np.concatenate(results), metadata)


def activate(logits: torch.Tensor, task: str) -> torch.Tensor:
    """Turns logits (N, K) into float32 probabilities: a sigmoid for each finding, or one softmax over all classes."""
    logits = logits.float()
    return torch.sigmoid(logits) if task == "multi_label" else torch.softmax(logits, dim=1)
