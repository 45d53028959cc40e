"""The losses of `cxr_spark.training.rank.loss`, for BigDL.

BigDL's own multi-label loss has no class weights and takes no masked label, and losses that are put together in Python
give no gradient under mkldnn. But both losses are linear in a target that depends on the labels alone. So each is
computed as a dot product of a target made in Python with [softplus(-x), softplus(x)], or with the logarithm of the
softmax.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cxr_spark.bigdl.engine.session import quiet
from cxr_spark.training.rank.loss import Task


def make_criterion(task: Task) -> Any:
    """Returns the BigDL criterion that goes with `targets`. It sums over the samples that it is given."""
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
    """Returns the targets that a criterion of `make_criterion` takes in place of labels.

    Args:
        task: the kind of labels.
        labels: float32 (N, K); NaN where a label is not known.
        weights: float32 (K,), class weights; None for weights of 1.
        terms: number of terms that the loss is the mean of.

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
    """Returns the mean number of terms in the loss of a batch, over all training images.

    Args:
        task: the kind of labels.
        labels: float32 (N, K) of all training images; NaN where a label is not known.
        images: number of images in the batch.
    """
    known = ~np.isnan(labels)
    each = known.sum(axis=1) if task == "multi_label" else known.all(axis=1)
    return max(1.0, float(each.mean()) * images)
