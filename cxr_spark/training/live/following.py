"""Renews the page of a training while it runs, beside the driver's own work."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cxr_spark.outputs.names import CURVES_NAME, HISTORY_NAME, TRAINING_PAGE_NAME
from cxr_spark.storage.uris import without_credentials
from cxr_spark.training.checkpoints import BEST
from cxr_spark.training.live.page import State, render
from cxr_spark.training.schedule import best_place
from cxr_spark.training.specification import TrainingSpec

log = logging.getLogger(__name__)

#: Seconds between two looks at the history of the training.
LOOK_EVERY = 5.0
#: Seconds to wait for a storage that does not answer when the training ends.
_PATIENCE = 30.0


class TrainingPage:
    """The page of a training, and its curves. Nothing that goes wrong with them ends the training.

    Args:
        spec: the training.
    """

    def __init__(self, spec: TrainingSpec) -> None:
        self._spec, self._run = spec, spec.run
        self._shown: tuple[int, State] | None = None
        self._fails = False

    def renew(self, state: State, history: Sequence[Mapping[str, Any]] | None = None) -> None:
        """Writes page and curves, if there is something new to show; a warning tells once where that fails.

        Args:
            state: the state of the training.
            history: the finished epochs; None to read them.
        """
        try:
            entries = self._history() if history is None else history
            if self._shown != (len(entries), state):
                self._write(entries, state)
                self._shown = len(entries), state
            self._fails = False
        except Exception as error:  # of many classes
            if not self._fails:
                log.warning("%s is not renewed (%s), which changes nothing else", TRAINING_PAGE_NAME, error)
            self._fails = True

    def _write(self, history: Sequence[Mapping[str, Any]], state: State) -> None:
        train = self._spec.train
        best = best_place(BEST.get(train.final_model), history)
        page, picture = render(history, _facts(self._spec), epochs=train.epochs, best=best, state=state)
        self._run.write_bytes(CURVES_NAME, picture)
        self._run.write_bytes(TRAINING_PAGE_NAME, page.encode())

    def _history(self) -> list[dict[str, Any]]:
        try:
            history = self._run.read_json(HISTORY_NAME)
        except FileNotFoundError:
            return []
        return history if isinstance(history, list) else []


@contextlib.contextmanager
def live_page(spec: TrainingSpec) -> Iterator[None]:
    """Renews page and curves after every epoch of the training that the body of the `with` statement runs.

    Args:
        spec: the training.
    """
    page, ending = TrainingPage(spec), threading.Event()

    def follow() -> None:
        page.renew("running")
        while not ending.wait(LOOK_EVERY):
            page.renew("running")

    thread = threading.Thread(target=follow, name="live page", daemon=True)
    thread.start()
    try:
        yield
    except BaseException:
        ending.set()
        thread.join(_PATIENCE)
        if not thread.is_alive():
            page.renew("stopped")
        raise
    ending.set()
    thread.join(_PATIENCE)


def _facts(spec: TrainingSpec) -> list[tuple[str, str]]:
    train = spec.train
    batch = f"{train.global_batch} images a step, over {train.workers} {'rank' if train.workers == 1 else 'ranks'}"
    fold = [] if spec.fold is None else [("Fold", f"{spec.fold.number} of {spec.fold.of}")]
    facts = [
        ("Network", f"{spec.model.architecture}, {len(spec.findings)} findings, input side {spec.input_size}"),
        ("Weights before", spec.model.weights),
        ("Data", spec.data_uri),
        ("Run", spec.run_uri),
        *fold,
        ("Global batch", batch),
    ]
    return [(name, without_credentials(value)) for name, value in facts]
