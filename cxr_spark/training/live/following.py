"""Renews the page of a training while it runs, beside the driver's own work."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator
from typing import Any

from cxr_spark.errors import CxrError
from cxr_spark.outputs.names import CURVES_NAME, HISTORY_NAME, TRAINING_PAGE_NAME
from cxr_spark.training.checkpoints import BEST
from cxr_spark.training.live.page import render
from cxr_spark.training.specification import TrainingSpec

log = logging.getLogger(__name__)

#: Seconds between two looks at the history of the training.
LOOK_EVERY = 5.0


@contextlib.contextmanager
def live_page(spec: TrainingSpec) -> Iterator[None]:
    """Renews page and curves after every epoch of the training that the body of the `with` statement runs.

    Nothing that goes wrong with the page ends the training: a warning tells of it once.

    Args:
        spec: the training.
    """
    ending = threading.Event()
    thread = threading.Thread(target=_follow, args=(spec, ending), name="live page", daemon=True)
    thread.start()
    try:
        yield
    except BaseException:
        _stop(thread, ending)
        _renew(spec, _history(spec), "stopped")
        raise
    _stop(thread, ending)


def write_page(spec: TrainingSpec, history: list[dict[str, Any]], state: str) -> None:
    """Writes `training.html` and `curves.png`.

    Args:
        spec: the training.
        history: the finished epochs.
        state: `running`, `finished` or `stopped`.
    """
    page, picture = render(
        history,
        _facts(spec),
        epochs=spec.train.epochs,
        best_by=BEST.get(spec.train.final_model, "epoch"),
        state=state,
    )
    spec.run.write_bytes(CURVES_NAME, picture)
    spec.run.write_bytes(TRAINING_PAGE_NAME, page.encode())


def _follow(spec: TrainingSpec, ending: threading.Event) -> None:
    shown = -1
    while True:
        history = _history(spec)
        if len(history) != shown and not _renew(spec, history, "running"):
            return
        shown = len(history)
        if ending.wait(LOOK_EVERY):
            return


def _stop(thread: threading.Thread, ending: threading.Event) -> None:
    ending.set()
    thread.join()


def _renew(spec: TrainingSpec, history: list[dict[str, Any]], state: str) -> bool:
    """Writes the page; returns whether that worked, and tells where it did not."""
    try:
        write_page(spec, history, state)
    except Exception as error:  # of many classes; none may end a training
        log.warning("%s is not renewed (%s); the training goes on", spec.run.uri_of(TRAINING_PAGE_NAME), error)
        return False
    return True


def _history(spec: TrainingSpec) -> list[dict[str, Any]]:
    """Returns the finished epochs; none where the storage does not answer now."""
    try:
        history = spec.run.read_json(HISTORY_NAME)
    except (CxrError, OSError):
        return []
    return history if isinstance(history, list) else []


def _facts(spec: TrainingSpec) -> list[tuple[str, str]]:
    train = spec.train
    batch = f"{train.global_batch} images a step, over {train.workers} {'rank' if train.workers == 1 else 'ranks'}"
    fold = [] if spec.fold is None else [("Fold", f"{spec.fold.number} of {spec.fold.of}")]
    return [
        ("Network", f"{spec.model.architecture}, {len(spec.findings)} findings, input side {spec.input_size}"),
        ("Weights before", spec.model.weights),
        ("Data", spec.data_uri),
        ("Run", spec.run_uri),
        *fold,
        ("Global batch", batch),
    ]
