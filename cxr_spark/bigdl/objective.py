"""The losses of `cxr_spark.training.rank.loss`, for BigDL.

BigDL's own multi-label loss weighs positives and negatives alike, takes no masked label, and its losses made in Python
give no gradient under mkldnn. Both tasks' losses are linear in something that only the labels decide, so a dot product
computes them: of [softplus(-x), softplus(x)], or of the logarithm of the softmax, with a target made in Python.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cxr_spark.bigdl.session import quiet
from cxr_spark.training.rank.loss import Task


def make_criterion(task: Task) -> Any:
    """Returns the BigDL criterion that `targets` are made for: it sums over the samples that it is given."""
    from bigdl.dllib.nn import criterion, layer

    with quiet():
        if task == "multi_label":
            negated = layer.Sequential().add(layer.MulConstant(-1.0)).add(layer.SoftPlus())
            transform = layer.Concat(2).add(negated).add(layer.SoftPlus())
        else:
            transform = layer.LogSoftMax()
        return criterion.TransformerCriterion(criterion.DotProductCriterion(), transform)


def targets(
    task: Task, labels: NDArray[np.float32], weights: NDArray[np.float32] | None, terms: float
) -> NDArray[np.float32]:
    """Returns what a criterion of `make_criterion` takes for labels.

    Args:
        task: what the outputs are.
        labels: float32 (N, K); NaN where not known.
        weights: float32 (K,) of `cxr_spark.training.balance.class_weights`; None for 1.
        terms: how many terms the loss is the mean of.

    Returns:
        float32 (N, 2K) for `multi_label`, (N, K) for `single_label`.
    """
    known = ~np.isnan(labels)
    positive = np.where(known, labels, 0.0)
    weighted = positive if weights is None else positive * weights
    if task == "multi_label":
        result = np.concatenate([weighted, np.where(known, 1.0 - positive, 0.0)], axis=1)
    else:
        result = np.where(known.all(axis=1, keepdims=True), -weighted, 0.0)
    scaled: NDArray[np.float32] = (result / terms).astype(np.float32)
    return scaled


def terms_of_batch(task: Task, labels: NDArray[np.float32], images: int) -> float:
    """Returns how many terms the loss of a batch has, on the average over all training images.

    Args:
        task: what the outputs are.
        labels: (N, K) of all training images.
        images: of the batch.
    """
    known = ~np.isnan(labels)
    each = known.sum(axis=1) if task == "multi_label" else known.all(axis=1)
    return max(1.0, float(each.mean()) * images)
