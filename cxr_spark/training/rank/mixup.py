"""Mixup (Zhang et al. 2018): images of a batch are blended in pairs, and each counts with the labels of both."""

from __future__ import annotations

import numpy as np
import torch


def draw_weight(alpha: float, *, seed: int, rank: int, step: int, micro_batch: int) -> float:
    """Draws the weight of the first image of every pair, from Beta(alpha, alpha); that of the second is the rest to 1.

    It depends on nothing but its arguments, so a training that goes on from a checkpoint draws the same.

    Args:
        alpha: a number above 0; with a small one most mixtures are nearly one image of the pair alone.
        seed: the seed of the training.
        rank: number of the rank.
        step: number of steps done before, in all epochs.
        micro_batch: number of the micro-batch in the step, from 1: with `train.accumulate` a step has several.
    """
    return float(np.random.Generator(np.random.PCG64([seed, rank, step, micro_batch])).beta(alpha, alpha))


def partners(batch: torch.Tensor) -> torch.Tensor:
    """Returns the other image of each pair, or its labels: those of the row before, as torchvision's MixUp pairs them.

    Args:
        batch: (N, ...).
    """
    return batch.roll(1, 0)


def blend(images: torch.Tensor, weight: float) -> torch.Tensor:
    """Blends each image with its partner.

    Args:
        images: floating point (N, ...).
        weight: the weight of the image itself, from 0 to 1; its partner has the rest to 1.
    """
    return images * weight + partners(images) * (1 - weight)
