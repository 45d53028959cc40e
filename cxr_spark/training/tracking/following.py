"""Follows a training that runs, and logs it to MLflow, beside the driver's own work."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from cxr_spark.config.tracking import MlflowSettings
from cxr_spark.errors import CxrError, RunError
from cxr_spark.outputs.names import HISTORY_NAME
from cxr_spark.storage.store import Store
from cxr_spark.storage.uris import without_credentials
from cxr_spark.training.tracking.run import Description, TrackedRun
from cxr_spark.training.tracking.service import connect, told

log = logging.getLogger(__name__)

#: Seconds between two looks at the history of the training.
LOOK_EVERY = 5.0
#: How often the end of a training is logged where MLflow does not take it.
_ATTEMPTS = 3
#: Seconds to wait for a request that is under way when the training ends.
_PATIENCE = 120.0


def check_tracking(settings: MlflowSettings) -> None:
    """Checks that MLflow answers, where a training is to be tracked, and makes the experiment.

    Raises:
        UsageError: MLflow's client is not installed.
        ConfigError: the experiment was deleted.
        RunError: MLflow does not answer, or refuses.
    """
    if settings.uri:
        connect(settings.uri, settings.experiment)


@contextlib.contextmanager
def tracked(
    settings: MlflowSettings,
    folder: Store,
    describe: Callable[[], Description],
    results: Mapping[str, float] | None = None,
    *,
    whole: bool = True,
) -> Iterator[str | None]:
    """Tracks the training that the body of the `with` statement runs, if the settings say so.

    Once the training runs, nothing that happens to MLflow ends it: a warning tells of it once, and what was missed is
    logged later.

    Args:
        settings: the settings.
        folder: the folder of the training.
        describe: returns what MLflow is told before the first epoch.
        results: numbers of the whole training, by name; filled in by the body of the `with` statement.
        whole: whether this is all of the job. Else it is a fold of a cross-validation that runs already, which MLflow
            does not end: where it cannot be used when the fold begins, the fold is not tracked, and a warning says so.

    Yields:
        The ID of the run in MLflow; None where nothing is tracked.

    Raises:
        CxrError: MLflow cannot be used at the start.
    """
    if not settings.uri:
        yield None
        return
    shown = without_credentials(settings.uri)
    try:
        run = _begun(settings, settings.uri, folder, describe)
    except CxrError as error:
        if whole:
            raise
        log.warning("%s: the training goes on, and MLflow lacks this fold", error)
        yield None
        return
    log.info("MLflow at %s has this training as the run %s", shown, run.id)
    follower = Follower(run, folder, shown)
    follower.start()
    try:
        yield run.id
    except BaseException as error:
        follower.end("FAILED" if isinstance(error, Exception) else "KILLED")
        raise
    follower.end("FINISHED", results or {})


def _begun(settings: MlflowSettings, uri: str, folder: Store, describe: Callable[[], Description]) -> TrackedRun:
    """Returns the run of a training in MLflow, which has the description.

    Raises:
        CxrError: MLflow cannot be used.
    """
    service, experiment = connect(uri, settings.experiment)
    run = TrackedRun(service, uri, experiment, folder)
    try:
        run.begin(describe())
    except CxrError:
        raise
    except Exception as error:  # of many classes
        if run.id:
            with contextlib.suppress(Exception):  # else the run seems to go on
                run.end("FAILED")
        raise RunError(
            f"train.mlflow.uri={without_credentials(uri)}: MLflow does not take the training ({told(error)}): mend "
            "that, or leave train.mlflow out"
        ) from None
    return run


class Follower:
    """Logs each epoch soon after the history in the training's folder has it.

    Args:
        run: the run in MLflow.
        folder: the folder of the training.
        shown: MLflow's tracking URI, without a password.
        every: seconds between two looks at the history.
        patience: seconds to wait for a request that is under way at the end.
    """

    def __init__(
        self, run: TrackedRun, folder: Store, shown: str, every: float | None = None, patience: float = _PATIENCE
    ) -> None:
        self._run, self._folder, self._shown = run, folder, shown
        self._every = LOOK_EVERY if every is None else every
        self._patience = patience
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="mlflow", daemon=True)
        self._epochs = -1
        self._fails = False

    def start(self) -> None:
        """Begins to follow, in a thread of its own: MLflow may take its time to answer."""
        self._thread.start()

    def end(self, status: str, results: Mapping[str, float] = MappingProxyType({})) -> None:
        """Logs what is left and ends the run.

        Args:
            status: FINISHED, with the files of the training; else FAILED or KILLED.
            results: numbers of the whole training, by name.
        """
        self._ending.set()
        self._thread.join(self._patience)
        if self._thread.is_alive():
            log.warning("MLflow at %s does not answer: it lacks the end of this training", self._shown)
            return
        for attempt in range(_ATTEMPTS if status == "FINISHED" else 1):
            if attempt:
                threading.Event().wait(self._every)
            if self._tried(lambda: self._log_end(status, results)):
                return
        log.warning("MLflow at %s lacks the end of this training, which is whole in %s", self._shown, self._folder.uri)
        with contextlib.suppress(Exception):  # where its files alone are refused, the run has ended nevertheless
            self._run.end(status)

    def _follow(self) -> None:
        while not self._ending.wait(self._every):
            self._tried(self._log_epochs)

    def _tried(self, work: Callable[[], None]) -> bool:
        """Does some work, and tells when it begins to fail and when it works again."""
        try:
            work()
        except Exception as error:  # of many classes; none may end a training
            if not self._fails:
                log.warning(
                    "MLflow at %s takes nothing (%s): the training goes on, and what is missed is logged when it "
                    "takes it again",
                    self._shown,
                    told(error),
                )
            self._fails = True
            return False
        if self._fails:
            log.info("MLflow at %s has what it missed", self._shown)
        self._fails = False
        return True

    def _log_epochs(self) -> None:
        history = self._history()
        if len(history) != self._epochs:
            self._run.log_epochs(history)
            self._epochs = len(history)

    def _log_end(self, status: str, results: Mapping[str, float]) -> None:
        self._run.log_epochs(self._history())
        if results:
            self._run.log_results(results)
        if status == "FINISHED":
            self._run.log_files()
        self._run.end(status)

    def _history(self) -> list[dict[str, Any]]:
        try:
            history = self._folder.read_json(HISTORY_NAME)
        except FileNotFoundError:
            return []
        return history if isinstance(history, list) else []
