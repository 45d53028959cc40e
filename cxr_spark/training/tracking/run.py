"""One training as one run in MLflow, also where the training was stopped and goes on."""

from __future__ import annotations

import logging
import math
import secrets
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from cxr_spark.errors import DataError
from cxr_spark.outputs.names import CROSS_VALIDATION_NAME, CURVES_NAME, HISTORY_NAME, TRAINING_PAGE_NAME, names_of
from cxr_spark.storage.store import NotJsonError, Store
from cxr_spark.storage.typed_json import OutsideModel, validated
from cxr_spark.storage.uris import without_credentials
from cxr_spark.training.summaries import TAGS, ends
from cxr_spark.training.tracking.service import Metric, Service

log = logging.getLogger(__name__)

#: The note in the run's folder of which run in MLflow is its own.
NOTE = "mlflow.json"
#: The tag by which a run is found again whose ID could not be noted.
KEY_TAG = "cxr_spark.key"
#: The tag with the hash of the model that the training made, by which its evaluations find the run.
MODEL_TAG = "cxr_spark.model_id"

#: The files that are logged at the end, beside those of the model folder.
_FILES = (HISTORY_NAME, CURVES_NAME, TRAINING_PAGE_NAME, CROSS_VALIDATION_NAME)


@dataclass(frozen=True)
class Description:
    """What MLflow is told of a training before its first epoch.

    Attributes:
        name: the name of the run.
        parameters: settings and data, by dotted name.
        tags: further facts, by name.
    """

    name: str
    parameters: Mapping[str, str]
    tags: Mapping[str, str] = field(default_factory=dict)


class _Note(OutsideModel):
    uri: str
    key: Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
    run_id: Annotated[str, Field(pattern=r"^[\w-]+$", max_length=256)] | None = None


class TrackedRun:
    """A training's run in MLflow. What was logged before is not logged again, so every method may be repeated.

    Args:
        service: MLflow.
        uri: its tracking URI.
        experiment: the ID of the experiment of a new run.
        folder: the folder of the training.
    """

    def __init__(self, service: Service, uri: str, experiment: str, folder: Store) -> None:
        self._service = service
        self._uri = without_credentials(uri)
        self._experiment = experiment
        self._folder = folder
        self._run = ""
        self._logged: set[tuple[str, int]] | None = None

    def begin(self, description: Description) -> None:
        """Goes on with the run that the folder names, or makes one, and logs the parameters."""
        note = self._note()
        run = note["run_id"] or self._service.run_with(self._experiment, KEY_TAG, note["key"])
        if run and not self._service.is_there(run):
            log.warning("the run %s is no longer in MLflow at %s: a new one is made", run, self._uri)
            note, run = self._new_note(), None
        if run:
            self._service.set_status(run, "RUNNING")
        else:
            tags = {**description.tags, KEY_TAG: note["key"]}
            run = self._service.new_run(self._experiment, description.name, tags)
            self._logged = set()
        self._folder.write_json(NOTE, {**note, "run_id": run})
        self._run = run
        self._service.log_parameters(run, description.parameters)

    @property
    def id(self) -> str:
        """The ID of the run in MLflow."""
        return self._run

    def log_epochs(self, history: Sequence[Mapping[str, Any]]) -> None:
        """Logs the metrics of those epochs that the run does not have yet.

        Args:
            history: entries of `history.json`.
        """
        logged = self._logged
        self._logged = None  # unless all goes well it is not known what the run has
        if logged is None:
            logged = self._service.logged(self._run, TAGS)
        new = [
            Metric(name, float(entry[name]), entry["epoch"], ended)
            for entry, ended in zip(history, ends(history), strict=True)
            for name in TAGS
            if (name, entry["epoch"]) not in logged and _is_finite(entry.get(name))
        ]
        if new:
            self._service.log_metrics(self._run, new)
        self._logged = logged | {(metric.name, metric.step) for metric in new}

    def log_results(self, results: Mapping[str, float]) -> None:
        """Logs numbers of the whole training as metrics, those that the run does not have with the same value."""
        self._service.log_results(self._run, results)

    def log_files(self) -> None:
        """Logs the files of the finished training: history, curves and model, or the summary of folds."""
        names = [info.name for info in self._folder.files() if _is_logged(info.name)]
        for name in sorted(names):
            folder, _, file = name.rpartition("/")
            with tempfile.TemporaryDirectory() as local:
                path = Path(local, file)
                path.write_bytes(self._folder.read_bytes(name))
                self._service.log_file(self._run, path, folder)
        if model_id := self._model_id():
            self._service.set_tag(self._run, MODEL_TAG, model_id)

    def end(self, status: str) -> None:
        """Ends the run as FINISHED, FAILED or KILLED."""
        self._service.set_status(self._run, status)

    def _model_id(self) -> str | None:
        """Returns the hash of the model in the folder; None where there is none."""
        try:
            found = self._folder.read_json("model/metadata.json")
        except (FileNotFoundError, NotJsonError):
            return None
        model_id = found.get("weights_sha256") if isinstance(found, dict) else None
        return model_id if isinstance(model_id, str) else None

    def _note(self) -> dict[str, Any]:
        """Returns the note of the folder, if it is of this MLflow; else a new one."""
        try:
            found = self._folder.read_json(NOTE)
        except (FileNotFoundError, NotJsonError):
            return self._new_note()
        try:
            note = validated(_Note, found, NOTE).model_dump()
        except DataError:
            return self._new_note()
        return note if note["uri"] == self._uri else self._new_note()

    def _new_note(self) -> dict[str, Any]:
        """Notes the key of a run before the run is made: a kill in between leaves no run that is not found again."""
        note = {"uri": self._uri, "key": secrets.token_hex(16), "run_id": None}
        self._folder.write_json(NOTE, note)
        return note


def _is_logged(name: str) -> bool:
    return name in _FILES or (name.startswith("model/") and names_of("train").is_fixed_or_made(name))


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
