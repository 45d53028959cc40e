import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight

from cxr_spark.errors import DivergedError
from cxr_spark.training.loss import MAX_POSITIVE_WEIGHT, positive_weights, summed_loss
from cxr_spark.training.validate import measure


def test_loss_is_torchs_own_where_all_is_known():
    logits, labels = torch.randn(8, 5), (torch.rand(8, 5) < 0.5).float()
    total, known = summed_loss(logits, labels, None)
    torch.testing.assert_close(total / known, torch.nn.BCEWithLogitsLoss()(logits, labels))


def test_unknown_labels_change_neither_loss_nor_gradient():
    logits = torch.randn(6, 3, requires_grad=True)
    labels = (torch.rand(6, 3) < 0.5).float()
    labels[1, 2] = labels[4, 0] = float("nan")
    total, known = summed_loss(logits, labels, None)
    total.backward()
    seen = ~torch.isnan(labels)
    assert known == 16
    torch.testing.assert_close(total, torch.nn.BCEWithLogitsLoss(reduction="sum")(logits[seen], labels[seen]))
    assert logits.grad[1, 2] == 0
    assert logits.grad[4, 0] == 0
    assert torch.isfinite(logits.grad).all()


def test_positive_weights_balance_the_classes_as_sklearn_does():
    labels = np.zeros((100, 3), np.float32)
    labels[:25, 0] = 1
    labels[:1, 1] = 1
    labels[50:, 0] = np.nan
    weights = positive_weights(labels)
    known = labels[:50, 0]
    negative, positive = compute_class_weight("balanced", classes=np.array([0.0, 1.0]), y=known)
    assert weights[0] == pytest.approx(positive / negative)
    assert weights[1] == MAX_POSITIVE_WEIGHT
    assert weights[2] == 1  # one class only: nothing to balance


def test_validation_loss_survives_huge_logits_and_refuses_nan():
    labels = np.array([[1, 0], [0, 1]], np.float32)
    assert measure(labels, np.array([[500, -500], [-500, 500]], np.float32)).loss == pytest.approx(0)
    assert measure(labels, np.array([[-500, 500], [500, -500]], np.float32)).loss == 500
    with pytest.raises(DivergedError, match="learning_rate"):
        measure(labels, np.array([[np.nan, 0], [0, 0]], np.float32))


def test_validation_auc_leaves_out_findings_of_one_class():
    labels = np.array([[1, 0], [0, 0], [1, 0]], np.float32)
    logits = np.array([[2, 1], [1, 1], [0, 1]], np.float32)
    assert measure(labels, logits).macro_auc == 0.5
