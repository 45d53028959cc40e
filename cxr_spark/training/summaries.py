"""Writes the history of a training for TensorBoard: loss, AUC, accuracy, learning rate and speed of every epoch."""

from __future__ import annotations

import logging
import math
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from cxr_spark.storage.store import Store

log = logging.getLogger(__name__)

#: The file, relative to the run's folder. TensorBoard reads every file whose name holds `tfevents`.
EVENTS_NAME = "tensorboard/events.out.tfevents.cxr_spark"
#: The name that TensorBoard shows for an item of the history. Names with the same first part are shown together.
TAGS: Mapping[str, str] = MappingProxyType(
    {
        "train_loss": "loss/train",
        "val_loss": "loss/validation",
        "val_macro_auc": "auc/validation_macro",
        "val_micro_auc": "auc/validation_micro",
        "val_accuracy": "accuracy/validation",
        "learning_rate": "learning_rate",
        "images_per_second": "images_per_second",
    }
)


def write_summaries(run: Store, history: Sequence[Mapping[str, Any]]) -> None:
    """Writes all epochs so far, in place of the file that the epoch before left.

    The file grows as TensorBoard expects: the part that it has read already stays the same, so TensorBoard may watch a
    run that goes on. Without the package `tensorboard` nothing is written, and the log says so.

    Args:
        run: the run's folder.
        history: entries of `history.json`.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        log.warning("no TensorBoard summaries (%s): pip install tensorboard", error)
        return
    with tempfile.TemporaryDirectory() as folder:
        with SummaryWriter(folder) as writer:
            for entry, ended in zip(history, ends(history), strict=True):
                for name, tag in TAGS.items():
                    value = entry.get(name)
                    if value is not None and math.isfinite(value):
                        writer.add_scalar(tag, value, global_step=entry["epoch"], walltime=ended)
        (events,) = Path(folder).iterdir()
        run.write_bytes(EVENTS_NAME, events.read_bytes())


def ends(history: Sequence[Mapping[str, Any]]) -> list[float]:
    """Returns the time at which each epoch ended, in seconds since 1970, as if there had been no pauses."""
    ended, times = time.time(), []
    for entry in reversed(history):
        times.append(ended)
        ended -= entry.get("seconds") or 0.0
    return times[::-1]
