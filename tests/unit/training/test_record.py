"""The record of a training: what an epoch leaves in the history, and which checkpoints it becomes."""

from __future__ import annotations

import logging
import sys

import pytest
import torch

from cxr_spark.config import ModelSettings, TrainSettings
from cxr_spark.storage.store import Store
from cxr_spark.training.checkpoints import Checkpoint, Checkpoints, Progress
from cxr_spark.training.rank.validation import Validation
from cxr_spark.training.record import EpochResult, Record, close_epoch
from cxr_spark.training.schedule import learning_rate
from tests.support.specifications import specification


def result(loss=0.5, auc=None):
    return EpochResult(
        train_loss=loss,
        learning_rate=1e-3,
        images=100,
        train_seconds=4.0,
        seconds=5.0,
        reached=Validation(loss, 0.9, auc, auc),
    )


def test_an_epoch_adds_one_entry_and_begins_the_next():
    before = Progress(epoch=1, step=7, global_step=14, sums=((1.0, 2.0),), seconds=3.0, history=({"epoch": 1},))
    after = close_epoch(before, TrainSettings(epochs=3), result(auc=0.7))
    assert (after.epoch, after.step, after.global_step, after.sums, after.seconds) == (2, 0, 14, (), 0.0)
    assert after.history[0] == {"epoch": 1}
    assert after.history[1]["epoch"] == 2
    assert after.history[1]["val_macro_auc"] == 0.7
    assert after.history[1]["images_per_second"] == 25.0
    assert not after.finished


@pytest.mark.parametrize(("settings", "finished"), [({"epochs": 1}, True), ({"epochs": 2}, False)])
def test_the_last_epoch_ends_a_training(settings, finished):
    assert close_epoch(Progress(), TrainSettings(**settings), result()).finished is finished


def test_a_target_that_is_reached_ends_a_training():
    settings = TrainSettings(epochs=9, early_stop={"targets": {"val_macro_auc": 0.8}})
    assert not close_epoch(Progress(), settings, result(auc=0.79)).finished
    assert close_epoch(Progress(), settings, result(auc=0.81)).finished


@pytest.fixture
def spec(tmp_path):
    return specification(tmp_path, ModelSettings(), TrainSettings(epochs=3))


def test_epochs_are_kept_as_what_they_are_best_in(spec, tmp_path, caplog):
    record, progress = Record(spec, steps_per_epoch=5), Progress()
    with caplog.at_level(logging.INFO):
        for number, (loss, auc) in enumerate(((0.5, 0.6), (0.4, 0.8), (0.3, 0.7))):
            progress = close_epoch(progress, spec.train, result(loss, auc))
            record.save_epoch(Checkpoint(progress, {"w": torch.full((1,), float(number))}))
    saved = Checkpoints(spec.checkpoints)
    assert {role: float(saved.load(role).network["w"]) for role in ("last", "best_auc", "best_loss")} == {
        "last": 2.0,
        "best_auc": 1.0,
        "best_loss": 2.0,
    }
    assert Store(f"file://{tmp_path}").read_json("history.json") == list(progress.history)
    assert "epoch 3/3 done: train_loss=0.3 val_loss=0.3 val_macro_auc=0.7" in caplog.text


def test_progress_lines_tell_the_time_that_is_left(spec, caplog):
    with caplog.at_level(logging.INFO):
        Record(spec, steps_per_epoch=600).tell(Progress(epoch=1, step=100), 0.25, steps_per_second=0.1)
    assert "epoch 2/3 step 100/600 loss 0.2500 6.4 images/s 3 h 03 min left" in caplog.text


def test_summaries_are_what_tensorboard_reads_in_the_history(spec, tmp_path):
    event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    first = close_epoch(Progress(), TrainSettings(epochs=3), result(0.7, auc=None))
    second = close_epoch(first, TrainSettings(epochs=3), result(0.5, auc=0.8))
    sizes = []
    for progress in (first, second):
        Record(spec, 4).save_epoch(Checkpoint(progress, {"w": torch.zeros(1)}))
        (events,) = (tmp_path / "tensorboard").iterdir()
        sizes.append(events.stat().st_size)
    assert sizes[0] < sizes[1]
    shown = event_accumulator.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(e.step, pytest.approx(e.value)) for e in shown.Scalars("loss/train")] == [(1, 0.7), (2, 0.5)]
    assert [(e.step, pytest.approx(e.value)) for e in shown.Scalars("auc/validation_macro")] == [(2, 0.8)]
    assert [pytest.approx(e.value) for e in shown.Scalars("learning_rate")] == [1e-3, 1e-3]
    times = [e.wall_time for e in shown.Scalars("loss/validation")]
    assert times[1] - times[0] == pytest.approx(5.0, abs=0.1)


def test_tensorboard_that_is_watching_goes_on_where_it_was(spec, tmp_path):
    event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    progress = close_epoch(Progress(), TrainSettings(epochs=3), result(0.7))
    Record(spec, 4).save_epoch(Checkpoint(progress, {"w": torch.zeros(1)}))
    watching = event_accumulator.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    progress = close_epoch(progress, TrainSettings(epochs=3), result(0.5))
    Record(spec, 4).save_epoch(Checkpoint(progress, {"w": torch.zeros(1)}))
    assert [e.step for e in watching.Reload().Scalars("loss/train")] == [1, 2]


def test_without_tensorboard_training_goes_on(spec, tmp_path, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    Record(spec, 4).save_epoch(Checkpoint(close_epoch(Progress(), TrainSettings(), result()), {"w": torch.zeros(1)}))
    assert (tmp_path / "history.json").exists()
    assert "pip install tensorboard" in caplog.text


def test_metrics_that_are_not_defined_are_told_once(spec, caplog):
    """Without validation images a plateau, an early stop and the best epoch have nothing to go by."""
    settings = TrainSettings(
        schedule={"metric": "val_loss"}, early_stop={"metric": "val_macro_auc", "patience": 1}, epochs=8
    )
    record = Record(spec.model_copy(update={"train": settings}), 5)
    progress, state = Progress(), {"w": torch.zeros(1)}
    nothing = EpochResult(train_loss=0.5, learning_rate=1e-3, images=100, train_seconds=4.0, seconds=5.0)
    for epoch in range(8):
        progress = close_epoch(progress, settings, nothing)
        record.save_epoch(Checkpoint(progress, state))
        assert progress.finished is (epoch == 7)
        rate = learning_rate(settings.schedule, 0.1, progress.history, 5 * epoch, 5, 8)
        assert rate == 0.1
    told = [entry.getMessage() for entry in caplog.records if entry.levelno == logging.WARNING]
    assert [message.partition(" is not defined")[0] for message in told] == [
        "val_loss",
        "val_macro_auc",
        "val_macro_auc",
    ]
    assert "the learning rate is never lowered" in told[0]
    assert "train.early_stop.patience is ignored" in told[1]
    assert "the last epoch becomes the model" in told[2]
