"""Going on with a training that has finished: for more epochs, or with another of its checkpoints as the model.

Each step of a training follows from its settings and the steps before it. So a training of two epochs that goes on for
two more is the same, bit for bit, as one of four, unless the learning rate of its first steps depends on the number of
epochs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from cxr_spark.config import TrainSettings
from cxr_spark.errors import ConfigError, UsageError
from cxr_spark.outputs.claim import digest
from cxr_spark.training import schedule
from cxr_spark.training.checkpoints import LAST, Checkpoints

#: The schedules whose learning rate depends on the number of epochs from the first step on.
OVER_ALL_EPOCHS = ("cosine", "one_cycle")
_REMEDY = "choose another --out, or say --overwrite to start anew"


def steps_digest(fingerprint: Mapping[str, Any]) -> str:
    """Returns the SHA-256 of what decides the steps of a training: not how many there are, nor which becomes the model.

    Args:
        fingerprint: all that decides the result of the training, as `start.fingerprint` gives it.
    """
    kind = fingerprint["train"]["schedule"]["kind"]
    return digest(_without(fingerprint, "final_model", *(() if kind in OVER_ALL_EPOCHS else ("epochs",))))


def extends(now: Mapping[str, Any], before: Mapping[str, Any], run_uri: str) -> bool:
    """Whether a training goes on where a finished one ended.

    Args:
        now: the fingerprint of the training that is asked for.
        before: that of the finished one, as its mark of finished work tells it.
        run_uri: the URI of the run's folder, for messages.

    Returns:
        False where the two differ in something else than the number of epochs and the choice of the model.

    Raises:
        UsageError: they differ in the number of epochs alone, but the training of now is not longer, or another one
            from its first step on.
    """
    if not isinstance(before.get("train"), dict):
        return False
    ends = ("epochs", "final_model")
    if digest(_without(now, *ends)) != digest(_without(before, *ends)):
        return False
    epochs, done, kind = now["train"]["epochs"], before["train"].get("epochs"), now["train"]["schedule"]["kind"]
    if not isinstance(done, int):
        return False
    if epochs < done:
        raise UsageError(
            f"--out {run_uri} holds a finished training of {done} epochs, and train.epochs is {epochs}: a training can "
            f"be made longer, not shorter; {_REMEDY}"
        )
    if epochs > done and kind in OVER_ALL_EPOCHS:
        raise UsageError(
            f"--out {run_uri} holds a finished training of {done} epochs, and train.schedule.kind={kind} spreads the "
            f"learning rate over all epochs, so that one of {epochs} is another training from its first step on; "
            f"{_REMEDY}"
        )
    return True


def set_end(checkpoints: Checkpoints, train: TrainSettings) -> None:
    """Writes into the last checkpoint whether the training is at its end, by the number of epochs of now.

    Args:
        checkpoints: those of the training.
        train: how to train.

    Raises:
        ConfigError: more epochs are done than are asked for.
        DataError: all checkpoints are damaged or gone.
    """
    last = checkpoints.load(LAST)
    if last is None:
        return
    progress = last.progress
    if progress.epoch + bool(progress.step) > train.epochs:
        raise ConfigError(
            f"the training has begun its epoch {progress.epoch + bool(progress.step)}, and train.epochs is "
            f"{train.epochs}: give that number or more; or {_REMEDY}"
        )
    if progress.step or not progress.history:
        return
    finished = progress.epoch >= train.epochs or schedule.should_stop(train.early_stop, progress.history)
    if finished != progress.finished:
        checkpoints.save(replace(last, progress=replace(progress, finished=finished)), (LAST,))


def _without(fingerprint: Mapping[str, Any], *names: str) -> dict[str, Any]:
    train = {name: value for name, value in fingerprint["train"].items() if name not in names}
    return {**fingerprint, "train": train}
