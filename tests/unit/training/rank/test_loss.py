import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight

from cxr_spark.config import TrainSettings
from cxr_spark.errors import ConfigError, DivergedError
from cxr_spark.training import balance
from cxr_spark.training.balance import MAX_WEIGHT, class_weights, sampling_weights
from cxr_spark.training.rank.loss import Objective
from cxr_spark.training.rank.validation import measure

MULTI, SINGLE = Objective("multi_label"), Objective("single_label")


def test_loss_is_torchs_own_where_all_is_known():
    logits, labels = torch.randn(8, 5), (torch.rand(8, 5) < 0.5).float()
    total, known = MULTI.summed(logits, labels)
    torch.testing.assert_close(total / known, torch.nn.BCEWithLogitsLoss()(logits, labels))


def test_unknown_labels_change_neither_loss_nor_gradient():
    logits = torch.randn(6, 3, requires_grad=True)
    labels = (torch.rand(6, 3) < 0.5).float()
    labels[1, 2] = labels[4, 0] = float("nan")
    total, known = MULTI.summed(logits, labels)
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
    weights = class_weights("multi_label", labels, ("a", "b", "c"), {})
    known = labels[:50, 0]
    negative, positive = compute_class_weight("balanced", classes=np.array([0.0, 1.0]), y=known)
    assert weights[0] == pytest.approx(positive / negative)
    assert weights[1] == MAX_WEIGHT
    assert weights[2] == 1  # one class only: nothing to balance


def test_validation_loss_survives_huge_logits_and_refuses_nan():
    labels = np.array([[1, 0], [0, 1]], np.float32)
    assert measure(labels, np.array([[500, -500], [-500, 500]], np.float32), MULTI).loss == pytest.approx(0)
    assert measure(labels, np.array([[-500, 500], [500, -500]], np.float32), MULTI).loss == 500
    with pytest.raises(DivergedError, match="learning_rate"):
        measure(labels, np.array([[np.nan, 0], [0, 0]], np.float32), MULTI)


def test_validation_auc_leaves_out_findings_of_one_class():
    labels = np.array([[1, 0], [0, 0], [1, 0]], np.float32)
    logits = np.array([[2, 1], [1, 1], [0, 1]], np.float32)
    assert measure(labels, logits, MULTI).macro_auc == 0.5


def test_softmax_loss_is_torchs_own_with_its_class_weights():
    logits, classes = torch.randn(9, 4), torch.randint(0, 4, (9,))
    labels = torch.nn.functional.one_hot(classes, 4).float()
    total, images = SINGLE.summed(logits, labels)
    torch.testing.assert_close(total / images, torch.nn.CrossEntropyLoss()(logits, classes))
    weights = torch.tensor([0.5, 2.0, 1.0, 3.0])
    total, _ = Objective("single_label", weights).summed(logits, labels)
    torch.testing.assert_close(total, torch.nn.CrossEntropyLoss(weights, reduction="sum")(logits, classes))


def test_softmax_weights_are_sklearns_balanced_ones():
    classes = np.repeat([0, 1], [1684, 4808])
    labels = np.eye(2, dtype=np.float32)[classes]
    found = class_weights("single_label", labels, ("normal", "pneumonia"), {})
    np.testing.assert_allclose(found, compute_class_weight("balanced", classes=np.array([0, 1]), y=classes), rtol=1e-6)
    np.testing.assert_allclose(found, [1.93, 0.68], atol=5e-3)
    given = class_weights("single_label", labels, ("normal", "pneumonia"), {"normal": 1.73, "pneumonia": 0.61})
    np.testing.assert_allclose(given, [1.73, 0.61])


def test_weights_of_a_finding_that_is_not_there_are_refused():
    with pytest.raises(ConfigError, match=r"names 'Mas'.*Mass"):
        class_weights("multi_label", np.zeros((2, 1), np.float32), ("Mass",), {"Mas": 2.0})


def test_upsampling_draws_rare_findings_as_often_as_frequent_ones():
    labels = np.zeros((1000, 2), np.float32)
    labels[:800, 0] = 1
    labels[800:900, 1] = 1
    chances = sampling_weights(labels)
    drawn = np.random.default_rng(0).choice(1000, 100_000, p=chances / chances.sum())
    positive = labels[drawn].sum(axis=0)
    assert positive[0] == pytest.approx(positive[1], rel=0.03)
    assert (chances[900:] == 1).all()


def test_accuracy_counts_known_labels_and_classes():
    labels = np.array([[1, 0], [0, np.nan]], np.float32)
    assert MULTI.accuracy(labels, np.array([[2, 1], [-1, 5]], np.float32)) == pytest.approx(2 / 3)
    assert SINGLE.accuracy(np.eye(2, dtype=np.float32), np.array([[2, 1], [3, 1]], np.float32)) == 0.5


def test_what_balancing_comes_to_is_told():
    labels = np.repeat(np.eye(2, dtype=np.float32), [30, 10], axis=0)
    names = ["NORMAL", "PNEUMONIA"]
    assert balance.describe(TrainSettings(), "single_label", labels, names) is None
    weights = balance.describe(TrainSettings(balancing="class_weights"), "single_label", labels, names)
    assert weights == "class weights: NORMAL 0.6667, PNEUMONIA 2"  # 40 / (2 * 30), 40 / (2 * 10)
    drawn = balance.describe(TrainSettings(balancing="upsample"), "multi_label", labels, names)
    assert drawn.endswith("NORMAL 30 to 20, PNEUMONIA 10 to 20")
