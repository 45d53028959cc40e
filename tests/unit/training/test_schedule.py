import itertools
import math

import pytest
import torch

from cxr_spark.config import EarlyStopSettings, ScheduleSettings
from cxr_spark.training.schedule import best_place, is_best, learning_rate, should_stop


def losses(*values):
    return [{"epoch": i + 1, "val_loss": v, "val_macro_auc": 0.5} for i, v in enumerate(values)]


def aucs(*values):
    return [{"epoch": i + 1, "val_loss": 1.0, "val_macro_auc": v} for i, v in enumerate(values)]


def test_warmup_rises_linearly_from_start_to_peak():
    settings = ScheduleSettings(warmup_epochs=5, warmup_start=1e-7, kind="plateau")
    rates = [learning_rate(settings, 1e-4, [], step, 10, 15) for step in range(51)]
    assert rates[0] == 1e-7
    assert rates[50] == 1e-4
    steps = [b - a for a, b in itertools.pairwise(rates)]
    assert max(steps) == pytest.approx(min(steps))


@pytest.mark.parametrize(
    ("values", "drops"),
    [
        ((), 0),
        ((1.0, 0.9, 0.8), 0),
        ((1.0, 1.0), 0),  # one bad epoch, patience is 1
        ((1.0, 1.0, 1.0), 1),
        ((1.0, 1.1, 1.2, 0.5, 0.6, 0.6), 2),
        ((1.0, 1.1, None), 1),  # a loss that is not defined any more improves nothing
        ((None,) * 9, 0),  # one that never was is no reason to lower the rate
    ],
)
def test_plateau_multiplies_once_patience_is_over(values, drops):
    settings = ScheduleSettings(kind="plateau", patience=1, factor=0.1)
    assert learning_rate(settings, 1e-2, losses(*values), 100, 10, 99) == pytest.approx(1e-2 * 0.1**drops)


def test_plateau_does_not_count_the_warmup():
    settings = ScheduleSettings(kind="plateau", warmup_epochs=3, patience=0)
    assert learning_rate(settings, 1.0, losses(1.0, 2.0, 3.0, 2.5), 40, 10, 99) == 1.0


def test_plateau_has_a_floor():
    settings = ScheduleSettings(kind="plateau", patience=0, factor=0.1, min_rate=1e-3)
    assert learning_rate(settings, 1.0, losses(*[1.0] * 30), 300, 10, 99) == 1e-3


@pytest.mark.parametrize(("epochs", "steps"), [(10, 10), (3, 7), (1, 40)])
def test_one_cycle_is_torchs(epochs, steps):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    theirs = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=epochs * steps, cycle_momentum=False)
    settings = ScheduleSettings(kind="one_cycle")
    for step in range(epochs * steps):
        found = learning_rate(settings, 2e-3, [], step, steps, epochs)
        assert found == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9), step
        optimizer.step()
        if step + 1 < epochs * steps:
            theirs.step()


def test_one_cycle_has_no_other_warm_up():
    with pytest.raises(ValueError, match=r"kind=one_cycle rises by itself, and warmup_epochs is 2: leave it at 0"):
        ScheduleSettings(kind="one_cycle", warmup_epochs=2)


def test_cosine_ends_at_the_floor():
    settings = ScheduleSettings(kind="cosine", warmup_epochs=1, min_rate=1e-6)
    middle = learning_rate(settings, 1e-2, [], 10 + 45, 10, 10)
    assert middle == pytest.approx(1e-6 + (1e-2 - 1e-6) * (1 + math.cos(math.pi / 2)) / 2)
    assert learning_rate(settings, 1e-2, [], 100, 10, 10) == pytest.approx(1e-6)


@pytest.mark.parametrize(
    ("values", "stop"),
    [((0.5, 0.6, 0.7), False), ((0.7, 0.6), False), ((0.7, 0.6, 0.7), True), ((None, None), False)],
)
def test_early_stop_waits_for_patience(values, stop):
    assert should_stop(EarlyStopSettings(metric="val_macro_auc", patience=2), aucs(*values)) is stop


def test_training_stops_once_all_targets_are_reached():
    settings = EarlyStopSettings(targets={"val_macro_auc": 0.8, "val_loss": 0.3})
    assert not should_stop(settings, [{"val_macro_auc": 0.9, "val_loss": 0.4}])
    assert not should_stop(settings, [{"val_macro_auc": None, "val_loss": 0.2}])
    assert should_stop(settings, [{"val_macro_auc": 0.8, "val_loss": 0.3}])


def test_no_early_stop_by_default():
    assert not should_stop(EarlyStopSettings(), aucs(*[0.5] * 50))


def test_of_equals_the_one_with_the_lower_loss_is_the_best():
    def history(*pairs):
        return [{"val_macro_auc": auc, "val_loss": loss} for auc, loss in pairs]

    assert is_best("val_macro_auc", history((0.7, 0.5), (0.7, 0.4)))
    assert not is_best("val_macro_auc", history((0.7, 0.4), (0.7, 0.5)))
    assert not is_best("val_macro_auc", history((0.7, 0.4), (0.7, 0.4)))
    assert not is_best("val_macro_auc", history((0.7, 0.5), (0.6, 0.1)))
    assert not is_best("val_macro_auc", history((0.7, 0.5), (0.7, 0.3), (0.7, 0.4)))
    assert not is_best("val_macro_auc", history((None, 0.5), (None, 0.4)))


def test_the_first_of_equals_is_the_best():
    assert is_best("val_macro_auc", aucs(0.5, 0.7))
    assert not is_best("val_macro_auc", aucs(0.7, 0.7))
    assert is_best("val_loss", losses(0.7, 0.6))
    assert not is_best("val_loss", losses(0.6, 0.7))
    assert not is_best("val_macro_auc", aucs(0.7, None))


@pytest.mark.parametrize(("metric", "place"), [("val_macro_auc", 1), ("val_loss", 0), ("val_accuracy", 2), (None, 3)])
def test_the_epoch_that_becomes_the_model_is_the_best_by_the_metric_that_is_asked_for(metric, place):
    values = {
        "val_macro_auc": [0.7, 0.9, None, 0.8],
        "val_loss": [0.1, 0.2, 0.3, None],
        "val_accuracy": [None, 0.5, 0.9, 0.8],
    }
    history = [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]
    assert best_place(metric, history) == place


def test_of_equal_epochs_the_lower_loss_becomes_the_model_and_without_a_metric_the_last():
    equal = [{"val_macro_auc": 0.9, "val_loss": loss} for loss in (0.3, 0.2, 0.4)]
    assert best_place("val_macro_auc", equal) == 1
    assert best_place("val_macro_auc", [{"val_macro_auc": None, "val_loss": 0.1}] * 3) == 2
    assert best_place("val_macro_auc", []) is None
