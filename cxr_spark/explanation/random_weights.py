"""Gives a network random weights, block after block from its head down, and compares maps. Pure torch and numpy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cxr_spark.explanation.gradcam import GradCam
from cxr_spark.models.blocks import blocks_of


class Stage(NamedTuple):
    """The maps of a network whose weights are random from the head down to one block.

    Attributes:
        block: the dotted name of that block.
        random: the fraction of the network's parameters that are random.
        correlations: for each image the rank correlation of its map with that of the network as it was; None where
            one of the two maps is the same everywhere, or is not finite, so that it has no ranks.
    """

    block: str
    random: float
    correlations: tuple[float | None, ...]


def randomised(module: nn.Module, fresh: nn.Module) -> Iterator[tuple[str, float]]:
    """Gives a network the weights of a fresh one, block after block from the head down; each block keeps them.

    The statistics of a batch norm go with its weights. Nothing is lost of networks whose layers begin in a way of their
    own, such as a vision transformer's positions: the fresh network begins as every training here does.

    Args:
        module: the network, which is changed.
        fresh: the same network with its first, random weights, on any device.

    Yields:
        The name of the block that has just become random, and the fraction of all parameters that are random by then.
    """
    blocks, total = blocks_of(module), sum(each.numel() for each in module.parameters())
    own, first = module.state_dict(), fresh.state_dict()
    left, done = set(own), 0
    for number, block in enumerate(reversed(blocks), start=1):
        layers = tuple(f"{name.rpartition('.')[0]}." for name in block.parameters if "." in name)
        taken = {name for name in left if name in block.parameters or f"{name.rpartition('.')[0]}." in layers}
        taken = left if number == len(blocks) else taken  # what no parameter stands beside goes with the last block
        with torch.no_grad():
            for name in taken:
                own[name].copy_(first[name])
        left = left - taken
        done += sum(module.get_parameter(name).numel() for name in block.parameters)
        yield block.name, done / total


def compare_maps(
    module: nn.Module,
    fresh: nn.Module,
    layer: str,
    inputs: Sequence[Tensor],
    outputs: Sequence[Sequence[int]],
    *,
    plus_plus: bool = False,
) -> list[Stage]:
    """Compares the maps of a network with those that it gives as its weights become random from the head down.

    Args:
        module: the network, in evaluation mode. It is random afterwards.
        fresh: see `randomised`.
        layer: the layer that Grad-CAM is drawn of.
        inputs: batches of the network's input, (N, 3, H, W) each.
        outputs: for each image of each batch the number of the output whose map is compared.
        plus_plus: whether the maps are those of Grad-CAM++.

    Returns:
        A stage for each block, the head's first. Correlations are in the order of the images.
    """
    stages = []
    with GradCam(module, layer, plus_plus=plus_plus) as cam:

        def maps() -> list[NDArray[np.float32]]:
            found: list[NDArray[np.float32]] = []
            for images, wanted in zip(inputs, outputs, strict=True):
                cam.logits(images)
                found.extend(cam.maps(range(len(images)), wanted))
            return found

        before = maps()
        for block, share in randomised(module, fresh):
            pairs = zip(before, maps(), strict=True)
            stages.append(Stage(block, share, tuple(rank_correlation(one, other) for one, other in pairs)))
    return stages


def rank_correlation(one: NDArray[np.float32], other: NDArray[np.float32]) -> float | None:
    """Returns Spearman's rank correlation of two maps of one shape, cell by cell; equal cells have their mean rank.

    Returns:
        A number from -1 to 1; None where a map is the same everywhere, or holds what is no finite number.
    """
    if not (np.isfinite(one).all() and np.isfinite(other).all()):
        return None
    first, second = (_ranks(each) for each in (one, other))
    scale = float(np.sqrt((first**2).sum() * (second**2).sum()))
    return None if scale == 0 else float(np.clip((first * second).sum() / scale, -1, 1))


def _ranks(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Returns the ranks of values less their mean, float64 in one dimension."""
    _, inverse, counts = np.unique(values.ravel(), return_inverse=True, return_counts=True)
    mean_ranks = np.cumsum(counts) - (counts - 1) / 2
    return mean_ranks[inverse.ravel()] - (values.size + 1) / 2
