"""The history of a training as TensorBoard shows it: loss, AUC, accuracy, learning rate and speed by epoch."""

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

#: One file, in a folder of the run: TensorBoard takes any whose name has `tfevents` in it.
EVENTS_NAME = "tensorboard/events.out.tfevents.cxr_spark"
#: What TensorBoard calls an item of the history; what has a slash in common is shown together.
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
    """Writes all epochs so far, in place of what an epoch before left.

    The file grows as TensorBoard expects: what it has read of it already stays as it was, so it may be left open on a
    run that goes on. Without the package `tensorboard` nothing is written, and the log says so.

    Args:
        run: folder of the run.
        history: entries of `history.json`.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        log.warning("no TensorBoard summaries (%s): pip install tensorboard", error)
        return
    with tempfile.TemporaryDirectory() as folder:
        with SummaryWriter(folder) as writer:
            for entry, ended in zip(history, _ends(history), strict=True):
                for name, tag in TAGS.items():
                    value = entry.get(name)
                    if value is not None and math.isfinite(value):
                        writer.add_scalar(tag, value, global_step=entry["epoch"], walltime=ended)
        (events,) = Path(folder).iterdir()
        run.write_bytes(EVENTS_NAME, events.read_bytes())


def _ends(history: Sequence[Mapping[str, Any]]) -> list[float]:
    """Returns when each epoch ended, in seconds since 1970, as if nothing had lain between them."""
    ended, ends = time.time(), []
    for entry in reversed(history):
        ends.append(ended)
        ended -= entry.get("seconds") or 0.0
    return ends[::-1]
