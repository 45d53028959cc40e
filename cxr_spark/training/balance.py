"""Rare findings against frequent ones: by weights in the loss, or by drawing their images more often."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from cxr_spark.config import TrainSettings
from cxr_spark.errors import ConfigError
from cxr_spark.training.rank.loss import Task

#: A finding with very few images would otherwise outweigh all others in every batch that holds one, or be all that
#: the network sees.
MAX_WEIGHT = 20.0


def class_weights(
    task: Task, labels: NDArray[np.float32], findings: Sequence[str], given: Mapping[str, float]
) -> NDArray[np.float32]:
    """Returns the weights of the loss.

    `multi_label`: negatives / positives of a finding, so that both weigh the same in all. `single_label`: n / (k n_c)
    with n images, k classes and n_c images of the class (scikit-learn's and Keras's "balanced"). A finding of one
    class only has weight 1; no computed weight is over `MAX_WEIGHT`.

    Args:
        task: what the outputs are.
        labels: (N, K); NaN where not known.
        findings: names of the columns.
        given: weights by name, in place of the computed ones.

    Returns:
        float32 (K,).

    Raises:
        ConfigError: a weight is given for a finding that there is not.
    """
    check_names(given, findings)
    positive, negative = counts(labels)
    if task == "multi_label":
        ratio = _divide(negative, np.where(negative > 0, positive, 0))
    else:
        ratio = _divide(np.full(len(positive), positive.sum() / max(1, len(positive))), positive)
    weights = np.minimum(ratio, MAX_WEIGHT).astype(np.float32)
    for i, name in enumerate(findings):
        weights[i] = given.get(name, weights[i])
    return weights


def describe(settings: TrainSettings, task: Task, labels: NDArray[np.float32], findings: Sequence[str]) -> str | None:
    """Tells what balancing comes to: the weights, or how many images of each finding an epoch draws; None without it.

    Args:
        settings: of the training.
        task: what the outputs are.
        labels: (N, K) of the training images; NaN where not known.
        findings: names of the columns.
    """
    if settings.balancing == "class_weights":
        weights = class_weights(task, labels, findings, settings.class_weights)
        return "class weights: " + ", ".join(f"{name} {w:.4g}" for name, w in zip(findings, weights, strict=True))
    if settings.balancing == "upsample":
        there, _ = counts(labels)
        chances = sampling_weights(labels)
        drawn = len(labels) * (chances / chances.sum()) @ (labels == 1)
        each = (f"{name} {a:.0f} to {b:.0f}" for name, a, b in zip(findings, there, drawn, strict=True))
        return "up-sampling, images of an epoch (expected): " + ", ".join(each)
    return None


def check_names(given: Mapping[str, float], findings: Sequence[str]) -> None:
    """Raises ConfigError if a weight is given for a finding that there is not."""
    unknown = set(given) - set(findings)
    if unknown:
        raise ConfigError(
            f"train.class_weights names {min(unknown)!r}, which is no finding of the data: expected one of "
            f"{', '.join(findings)}"
        )


def counts(labels: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns the positives and the negatives of each finding, known labels only."""
    return (labels == 1).sum(axis=0).astype(np.float64), (labels == 0).sum(axis=0).astype(np.float64)


def sampling_weights(labels: NDArray[np.float32]) -> NDArray[np.float64]:
    """Returns how often to draw each image, against one of the most frequent finding.

    An image counts by its rarest finding: images of the most frequent finding / images of that one, at most
    `MAX_WEIGHT`; without any positive label it counts 1.

    Args:
        labels: (N, K); NaN where not known.

    Returns:
        float64 (N,), 1 and above.
    """
    positive, _ = counts(labels)
    rarity = np.minimum(_divide(np.full(len(positive), positive.max(initial=1.0)), positive), MAX_WEIGHT)
    weights: NDArray[np.float64] = np.where(labels == 1, rarity, 1.0).max(axis=1, initial=1.0)
    return weights


def _divide(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(a, b, out=np.ones_like(a), where=b > 0)
