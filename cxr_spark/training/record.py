"""The record of a training, for every backend: history, checkpoints and progress lines."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cxr_spark.config import TrainSettings
from cxr_spark.outputs.names import HISTORY_NAME
from cxr_spark.training import checkpoints as saved
from cxr_spark.training import schedule
from cxr_spark.training.checkpoints import Checkpoint, Checkpoints, Progress
from cxr_spark.training.rank.validation import Validation
from cxr_spark.training.specification import TrainingSpec
from cxr_spark.training.summaries import write_summaries

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EpochResult:
    """The result of one epoch.

    Attributes:
        train_loss: mean loss over the known labels of the training images.
        learning_rate: learning rate of the last step.
        images: number of images that all ranks together trained on.
        train_seconds: seconds of training, without validation.
        seconds: seconds of the whole epoch, with validation.
        reached: metrics on the validation images.
    """

    train_loss: float
    learning_rate: float
    images: int
    train_seconds: float
    seconds: float
    reached: Validation = field(default_factory=lambda: Validation(None, None, None, None))


def close_epoch(progress: Progress, settings: TrainSettings, result: EpochResult) -> Progress:
    """Returns the progress after an epoch: the history has one more entry, and the training may be at its end.

    Args:
        progress: the progress after the epoch's last step.
        settings: how to train.
        result: the result of the epoch.
    """
    entry = {
        "epoch": progress.epoch + 1,
        "train_loss": result.train_loss,
        "val_loss": result.reached.loss,
        "val_macro_auc": result.reached.macro_auc,
        "val_micro_auc": result.reached.micro_auc,
        "val_accuracy": result.reached.accuracy,
        "learning_rate": result.learning_rate,
        "images_per_second": round(result.images / result.train_seconds, 2),
        "seconds": round(result.seconds, 2),
    }
    history = (*progress.history, entry)
    finished = progress.epoch + 1 >= settings.epochs or schedule.should_stop(settings.early_stop, history)
    return Progress(epoch=progress.epoch + 1, global_step=progress.global_step, history=history, finished=finished)


class Record:
    """Keeps the record of one training. Only one process (rank 0, or the driver) may do so.

    Args:
        spec: the training.
        steps_per_epoch: number of optimiser steps of an epoch.
    """

    def __init__(self, spec: TrainingSpec, steps_per_epoch: int) -> None:
        self._spec, self._settings = spec, spec.train
        self._steps_per_epoch = steps_per_epoch
        self._checkpoints = Checkpoints(spec.checkpoints, spec.train.keep_checkpoints)

    def save(self, state: Checkpoint) -> None:
        """Saves a checkpoint from within an epoch."""
        self._save(state, (saved.LAST,))

    def save_epoch(self, state: Checkpoint) -> None:
        """Saves the checkpoint at the end of an epoch and logs its metrics; the best epochs are kept as such, too."""
        history = state.progress.history
        best = [role for role, metric in saved.BEST.items() if schedule.is_best(metric, history)]
        self._save(state, (saved.LAST, *best))
        write_summaries(self._spec.run, history)
        if len(history) == 1:
            for sentence in schedule.undefined_metrics(self._settings, history[0]):
                log.warning("%s", sentence)
        log.info("epoch %d/%d done: %s", state.progress.epoch, self._settings.epochs, _words(history[-1]))

    def tell(self, progress: Progress, loss: float, steps_per_second: float) -> None:
        """Logs how far an epoch has come.

        Args:
            progress: the progress so far.
            loss: mean loss of the epoch so far.
            steps_per_second: speed since the epoch began, or since it was resumed.
        """
        left = (self._settings.epochs - progress.epoch) * self._steps_per_epoch - progress.step
        log.info(
            "epoch %d/%d step %d/%d loss %.4f %.1f images/s %s left",
            progress.epoch + 1,
            self._settings.epochs,
            progress.step,
            self._steps_per_epoch,
            loss,
            steps_per_second * self._settings.global_batch,
            _duration(left / steps_per_second),
        )

    def _save(self, state: Checkpoint, roles: tuple[str, ...]) -> None:
        self._checkpoints.save(state, roles)
        self._spec.run.write_json(HISTORY_NAME, list(state.progress.history))


def _words(entry: Mapping[str, Any]) -> str:
    shown = ("train_loss", "val_loss", "val_macro_auc", "learning_rate", "images_per_second")
    return " ".join(f"{name}={entry[name]:.5g}" for name in shown if entry[name] is not None)


def _duration(seconds: float) -> str:
    minutes = int(seconds // 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes} min" if minutes else f"{seconds:.0f} s"
