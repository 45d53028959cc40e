"""Balances rare findings against frequent ones: by weights in the loss, or by drawing their images more often."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from cxr_spark.config import TrainSettings
from cxr_spark.errors import ConfigError
from cxr_spark.training.rank.loss import Task

#: The largest weight. Without a limit, a finding with very few images would outweigh all others in every batch that
#: holds one of them, or nearly all drawn images would be of that finding.
MAX_WEIGHT = 20.0


def class_weights(
    task: Task, labels: NDArray[np.float32], findings: Sequence[str], given: Mapping[str, float]
) -> NDArray[np.float32]:
    """Returns the class weights of the loss.

    With `multi_label` a finding's weight is its number of negatives divided by its number of positives, so that both
    have the same influence in total. With `single_label` it is n / (k n_c) for n images, k classes and n_c images of
    the class, as scikit-learn's and Keras's "balanced" weights are. A finding with one class only has the weight 1, and
    no computed weight is larger than `MAX_WEIGHT`.

    Args:
        task: the kind of labels.
        labels: float32 (N, K); NaN where a label is not known.
        findings: names of the columns.
        given: weights by finding, which replace the computed ones.

    Returns:
        float32 (K,).

    Raises:
        ConfigError: a weight is given for a finding that is not there.
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
    """Returns a sentence on balancing for the log: the weights, or how often images of each finding are drawn.

    Args:
        settings: how to train.
        task: the kind of labels.
        labels: float32 (N, K) of the training images; NaN where a label is not known.
        findings: names of the columns.

    Returns:
        The sentence; None without balancing.
    """
    if settings.balancing == "class_weights":
        weights = class_weights(task, labels, findings, settings.class_weights)
        return "class weights: " + ", ".join(f"{name} {w:.4g}" for name, w in zip(findings, weights, strict=True))
    if settings.balancing == "upsample":
        there, _ = counts(labels)
        chances = sampling_weights(labels)
        drawn = len(labels) * (chances / chances.sum()) @ (labels == 1)
        each = (f"{name} {a:.0f} to {b:.0f}" for name, a, b in zip(findings, there, drawn, strict=True))
        epoch = math.ceil(len(labels) / settings.global_batch) * settings.global_batch
        return (
            f"up-sampling: an epoch draws {epoch} images; images of each finding in {len(labels)} drawn, without "
            "up-sampling and with it (expected): " + ", ".join(each)
        )
    return None


def check_names(given: Mapping[str, float], findings: Sequence[str]) -> None:
    """Raises ConfigError if a weight is given for a finding that is not there."""
    unknown = set(given) - set(findings)
    if unknown:
        raise ConfigError(
            f"train.class_weights names {min(unknown)!r}, which is no finding of the data: expected one of "
            f"{', '.join(findings)}"
        )


def counts(labels: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns the number of positives and of negatives of each finding, both float64 (K,)."""
    return (labels == 1).sum(axis=0).astype(np.float64), (labels == 0).sum(axis=0).astype(np.float64)


def sampling_weights(labels: NDArray[np.float32]) -> NDArray[np.float64]:
    """Returns how often each image is drawn, compared with an image of the most frequent finding.

    The rarest finding of an image decides: the number of images of the most frequent finding divided by the number of
    images of that one, at most `MAX_WEIGHT`. An image without any positive label has the value 1.

    Args:
        labels: float32 (N, K); NaN where a label is not known.

    Returns:
        float64 (N,), at least 1.
    """
    positive, _ = counts(labels)
    rarity = np.minimum(_divide(np.full(len(positive), positive.max(initial=1.0)), positive), MAX_WEIGHT)
    weights: NDArray[np.float64] = np.where(labels == 1, rarity, 1.0).max(axis=1, initial=1.0)
    return weights


def _divide(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(a, b, out=np.ones_like(a), where=b > 0)
