"""Focal and asymmetric loss and label smoothing, against torchvision, torch and float64 numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision.ops import sigmoid_focal_loss

from cxr_spark.config import TrainSettings, load_settings
from cxr_spark.errors import ConfigError
from cxr_spark.training.rank.focus import Focus
from cxr_spark.training.rank.loss import Objective


@pytest.fixture
def batch():
    draw = torch.Generator().manual_seed(1)
    logits = torch.randn(40, 5, generator=draw) * 5
    return logits.requires_grad_(), (torch.rand(40, 5, generator=draw) < 0.4).float()


def summed_with_gradient(objective, logits, labels):
    total, terms = objective.summed(logits, labels)
    return total, terms, torch.autograd.grad(total, logits)[0]


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 5.0])
def test_focal_loss_is_torchvisions(batch, gamma):
    logits, labels = batch
    objective = Objective("multi_label", focus=Focus.of(TrainSettings(loss="focal", focal_gamma=gamma)))
    total, terms, gradient = summed_with_gradient(objective, logits, labels)
    expected = sigmoid_focal_loss(logits.double(), labels.double(), alpha=-1, gamma=gamma, reduction="sum")
    assert terms == labels.numel()
    torch.testing.assert_close(total, expected.float())
    torch.testing.assert_close(gradient, torch.autograd.grad(expected, logits)[0], rtol=1e-4, atol=1e-6)


def asymmetric(logits, labels, gamma_positive, gamma_negative, margin):
    """Equations 4 to 7 of the paper, in float64."""
    p = 1 / (1 + np.exp(-logits))
    shifted = np.maximum(p - margin, 0)
    positive = (1 - p) ** gamma_positive * np.log(p)
    negative = np.where(shifted > 0, shifted**gamma_negative * np.log(1 - shifted), 0)
    return -(labels * positive + (1 - labels) * negative)


@pytest.mark.parametrize("powers", [(1, 4, 0.05), (0, 4, 0.2), (2, 0.5, 0.05), (1, 4, 0), (0, 0, 0.05)])
def test_asymmetric_loss_is_the_papers(batch, powers):
    logits, labels = batch
    names = ("gamma_positive", "gamma_negative", "margin")
    settings = TrainSettings(loss="asymmetric", asymmetric=dict(zip(names, powers, strict=True)))
    objective = Objective("multi_label", focus=Focus.of(settings))
    total, _, gradient = summed_with_gradient(objective, logits, labels)
    x, y = logits.detach().double().numpy(), labels.double().numpy()
    assert total.item() == pytest.approx(asymmetric(x, y, *powers).sum(), rel=1e-5)
    step = 1e-6
    slope = (asymmetric(x + step, y, *powers) - asymmetric(x - step, y, *powers)) / (2 * step)
    np.testing.assert_allclose(gradient.numpy(), slope, rtol=1e-3, atol=1e-5)


def test_the_papers_values_are_the_default():
    assert Focus.of(TrainSettings(loss="asymmetric")) == Focus(1, 4, 0.05)
    assert Focus.of(TrainSettings(loss="focal")) == Focus(2, 2)
    assert Focus.of(TrainSettings()) is None


@pytest.mark.parametrize("focus", [Focus(0.5, 0.5), Focus(2, 2), Focus(1, 4, 0.05), Focus(1, 0.5, 0.05)], ids=str)
def test_extreme_logits_have_finite_losses_and_gradients(focus):
    logits = torch.tensor([-1e4, -200, -104, -20, -2.9444389, 0, 20, 104, 200, 1e4]).repeat(2, 1).requires_grad_()
    labels = torch.stack([torch.zeros(10), torch.ones(10)])
    total, _, gradient = summed_with_gradient(Objective("multi_label", focus=focus), logits, labels)
    assert torch.isfinite(total)
    assert torch.isfinite(gradient).all()
    assert gradient[1, 0] == -1  # a positive label that the network misses wholly: the slope of cross-entropy


@pytest.mark.parametrize("focus", [Focus(2, 2), Focus(1, 4, 0.05)], ids=str)
def test_class_weights_multiply_positives_and_unknown_labels_cost_nothing(batch, focus):
    logits, labels = batch
    weights = torch.tensor([1.0, 2.0, 3.0, 0.5, 20.0])
    masked = labels.clone()
    masked[::3, 1] = float("nan")
    known = ~torch.isnan(masked)
    total, terms, gradient = summed_with_gradient(Objective("multi_label", weights, focus=focus), logits, masked)
    positive, negative = focus.costs(logits)
    expected = torch.where(labels == 1, positive * weights, negative)[known].sum()
    torch.testing.assert_close(total, expected)
    assert terms == known.sum()
    assert (gradient[~known] == 0).all()


def test_smoothed_labels_of_findings_cost_what_torch_says(batch):
    logits, labels = batch
    weights = torch.tensor([1.0, 2.0, 3.0, 0.5, 20.0])
    soft = labels * 0.8 + 0.1
    total, _ = Objective("multi_label", weights, smoothing=0.2).summed(logits, labels)
    torch.testing.assert_close(total, torch.nn.BCEWithLogitsLoss(pos_weight=weights, reduction="sum")(logits, soft))


def test_smoothed_labels_of_a_softmax_cost_what_torch_says(batch):
    logits, classes = batch[0], torch.arange(40) % 5
    weights = torch.tensor([1.0, 2.0, 3.0, 0.5, 20.0])
    labels = torch.nn.functional.one_hot(classes, 5).float()
    total, _ = Objective("single_label", weights, smoothing=0.2).summed(logits, labels)
    expected = torch.nn.CrossEntropyLoss(weights, label_smoothing=0.2, reduction="sum")(logits, classes)
    torch.testing.assert_close(total, expected)


def test_smoothing_spreads_a_label_over_both_answers_of_a_focal_loss(batch):
    logits, labels = batch
    focus = Focus(2, 2)
    smooth, _ = Objective("multi_label", smoothing=0.2, focus=focus).summed(logits, labels)
    plain, _ = Objective("multi_label", focus=focus).summed(logits, labels)
    turned, _ = Objective("multi_label", focus=focus).summed(logits, 1 - labels)
    torch.testing.assert_close(smooth, 0.9 * plain + 0.1 * turned)


def test_unknown_labels_stay_unknown_when_smoothed(batch):
    logits, labels = batch
    unknown = torch.full_like(labels, float("nan"))
    total, terms, gradient = summed_with_gradient(Objective("multi_label", smoothing=0.2), logits, unknown)
    assert (total, terms) == (0, 0)
    assert (gradient == 0).all()


def test_validation_loss_is_cross_entropy_whatever_is_trained(batch):
    logits, labels = batch[0].detach().numpy(), batch[1].numpy()
    plain = Objective("multi_label").mean(labels, logits)
    assert Objective("multi_label", smoothing=0.2, focus=Focus(2, 2)).mean(labels, logits) == plain


def test_a_softmax_has_no_focal_loss():
    with pytest.raises(ConfigError, match=r"train\.loss=focal is for findings .* use train\.loss=bce"):
        load_settings(None, ["train.loss=focal", "model.task=single_label"])
