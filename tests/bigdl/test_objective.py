"""BigDL's loss against torch's: values and gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cxr_spark.bigdl.model.objective import make_criterion, targets, terms_of_batch
from cxr_spark.training.rank.loss import Objective


def batch(task, masked):
    draw = np.random.default_rng(3)
    logits = draw.normal(0, 4, (6, 4)).astype(np.float32)
    if task == "multi_label":
        labels = (draw.random((6, 4)) < 0.4).astype(np.float32)
        if masked:
            labels[draw.random(labels.shape) < 0.3] = np.nan
    else:
        labels = np.eye(4, dtype=np.float32)[draw.integers(0, 4, 6)]
    return logits, labels


@pytest.mark.parametrize("task", ["multi_label", "single_label"])
@pytest.mark.parametrize("weights", [None, np.array([3.0, 1.0, 0.5, 20.0], np.float32)])
@pytest.mark.parametrize("masked", [False, True])
def test_loss_and_gradient_are_those_of_torch(bridge, task, weights, masked):
    logits, labels = batch(task, masked)
    scores = torch.tensor(logits, requires_grad=True)
    total, terms = Objective(task, None if weights is None else torch.from_numpy(weights)).summed(
        scores, torch.from_numpy(labels)
    )
    expected = total / terms
    expected.backward()
    criterion = make_criterion(task)
    target = targets(task, labels, weights, terms_of_batch(task, labels, len(labels)))
    assert criterion.forward(logits, target) == pytest.approx(expected.item(), rel=1e-5)
    np.testing.assert_allclose(criterion.backward(logits, target), scores.grad.numpy(), atol=1e-6)


def test_extreme_outputs_give_finite_gradients(bridge):
    logits = np.array([[80.0, -80.0]], np.float32)
    target = targets("multi_label", np.array([[0.0, 1.0]], np.float32), None, 2.0)
    criterion = make_criterion("multi_label")
    assert criterion.forward(logits, target) == pytest.approx(80.0)
    np.testing.assert_allclose(criterion.backward(logits, target), [[0.5, -0.5]], atol=1e-6)
