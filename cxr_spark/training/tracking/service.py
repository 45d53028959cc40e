"""The few things that a training asks of MLflow, by MLflow's own client. The package is imported at the first use."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from cxr_spark.config.tracking import local_place
from cxr_spark.errors import ConfigError, RunError
from cxr_spark.runtime.requirements import check_mlflow
from cxr_spark.storage.uris import without_credentials

#: MLflow takes so many parameters in one request.
_MOST_PARAMETERS = 100
#: MLflow's client is never to report its use.
_NEVER = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
#: What the user's environment may say otherwise: that the client prints no addresses, leaves logging alone and still
#: writes folders. Requests that fail are tried again here, and not by the client, which would take minutes to tell.
_BY_DEFAULT = {
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_CONFIGURE_LOGGING": "false",
    "MLFLOW_ALLOW_FILE_STORE": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
}
#: Characters that the name of a parameter may not have, and the slash, which would make folders of it.
_NOT_IN_NAMES = re.compile(r"[^\w\-. :]")
#: MLflow servers of all versions take values of so many characters.
_LONGEST_VALUE = 500


class Metric(NamedTuple):
    """One value of a metric.

    Attributes:
        name: its name.
        value: a finite number.
        step: the epoch, counted from 1.
        time: when it was measured, seconds since 1970.
    """

    name: str
    value: float
    step: int
    time: float


class Service:
    """MLflow at one tracking URI. Where MLflow fails, every method raises what MLflow's client raises.

    Args:
        uri: the tracking URI, as `config.tracking` checks it.

    Raises:
        UsageError: the client is not installed.
    """

    def __init__(self, uri: str) -> None:
        check_mlflow(without_credentials(uri))
        os.environ.update(_NEVER)
        for name, value in _BY_DEFAULT.items():
            os.environ.setdefault(name, value)
        from mlflow import MlflowClient

        self._client = MlflowClient(tracking_uri=uri)
        self._uri = uri

    def experiment(self, name: str) -> str:
        """Returns the ID of the experiment of a name, which is made if it is not there.

        Raises:
            ConfigError: it was deleted.
        """
        from mlflow.exceptions import MlflowException

        found = self._client.get_experiment_by_name(name)
        if found is None:
            try:
                made: str = self._client.create_experiment(name, artifact_location=_files_of(self._uri))
                return made
            except MlflowException as error:
                found = self._client.get_experiment_by_name(name)
                if found is None:  # not made meanwhile by another training
                    raise error
        if found.lifecycle_stage == "deleted":
            raise ConfigError(
                f"train.mlflow.experiment={name} is a deleted experiment in MLflow: restore it there, or give another "
                "name"
            )
        identity: str = found.experiment_id
        return identity

    def new_run(self, experiment: str, name: str, tags: Mapping[str, str]) -> str:
        """Makes a run and returns its ID."""
        made: str = self._client.create_run(experiment, run_name=name, tags=dict(tags)).info.run_id
        return made

    def run_with(self, experiment: str, tag: str, value: str) -> str | None:
        """Returns the ID of the run that has a tag of some value; None where there is none."""
        found = self._client.search_runs([experiment], f"tags.`{tag}` = '{value}'", max_results=1)
        return found[0].info.run_id if found else None

    def is_there(self, run: str) -> bool:
        """Whether a run is there, and was not deleted."""
        from mlflow.exceptions import MlflowException

        try:
            stage: str = self._client.get_run(run).info.lifecycle_stage
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return False
            raise
        return stage == "active"

    def set_status(self, run: str, status: str) -> None:
        """Sets the status of a run: RUNNING, FINISHED, FAILED or KILLED."""
        if status == "RUNNING":
            self._client.update_run(run, status=status)
        else:
            self._client.set_terminated(run, status)

    def set_tag(self, run: str, tag: str, value: str) -> None:
        """Sets a tag of a run."""
        self._client.set_tag(run, tag, value)

    def log_parameters(self, run: str, parameters: Mapping[str, str]) -> None:
        """Logs the parameters that a run does not have. MLflow changes none, so others of now become tags."""
        from mlflow.entities import Param

        given = {_NOT_IN_NAMES.sub("_", name): _shortened(value) for name, value in parameters.items()}
        there = self._client.get_run(run).data.params
        new = iter([Param(name, value) for name, value in given.items() if name not in there])
        while batch := list(islice(new, _MOST_PARAMETERS)):
            self._client.log_batch(run, params=batch)
        for name, value in given.items():
            if there.get(name, value) != value:
                self._client.set_tag(run, f"changed.{name}", value)

    def logged(self, run: str, metrics: Iterable[str]) -> set[tuple[str, int]]:
        """Returns which metrics of which steps a run has."""
        return {(name, item.step) for name in metrics for item in self._client.get_metric_history(run, name)}

    def log_metrics(self, run: str, metrics: Iterable[Metric]) -> None:
        """Logs values of metrics."""
        from mlflow.entities import Metric as Entry

        entries = [Entry(each.name, each.value, int(each.time * 1000), each.step) for each in metrics]
        self._client.log_batch(run, metrics=entries)

    def log_results(self, run: str, results: Mapping[str, float]) -> None:
        """Logs metrics that have no step, but for those whose latest value is the same."""
        there = self._client.get_run(run).data.metrics
        for name, value in results.items():
            if there.get(name) != value:
                self._client.log_metric(run, name, value)

    def log_file(self, run: str, path: Path, folder: str) -> None:
        """Logs a file into a folder of the run's artifacts; the empty name is their root."""
        self._client.log_artifact(run, str(path), folder or None)


def connect(uri: str, experiment: str) -> tuple[Service, str]:
    """Returns MLflow at a tracking URI, and the ID of an experiment, which is made if it is not there.

    Raises:
        UsageError: the client is not installed.
        ConfigError: the experiment was deleted.
        RunError: MLflow does not answer, or refuses.
    """
    service = Service(uri)
    try:
        return service, service.experiment(experiment)
    except ConfigError:
        raise
    except Exception as error:  # of many classes: of MLflow, of HTTP, of databases
        raise RunError(
            f"train.mlflow.uri={without_credentials(uri)}: MLflow cannot be used there ({told(error)}): mend that, or "
            "leave train.mlflow out"
        ) from None


def told(error: Exception) -> str:
    """Returns what an error of MLflow's client says, on one line and without a password."""
    text = " ".join(without_credentials(str(error)).split())
    text = text.rpartition("(Caused by ")[2].removesuffix(")")  # else it is mostly the addresses of the request
    return (text if len(text) <= 200 else text[:197] + "...") or type(error).__name__


def _files_of(uri: str) -> str | None:
    """Returns where the files of an experiment lie; None where MLflow decides.

    For a database in a file that is the folder `mlruns` beside it: MLflow itself would take one in the working folder.
    """
    place = local_place(uri) if uri.startswith("sqlite:") else None
    return f"{place.rpartition('/')[0]}/mlruns" if place else None


def _shortened(value: str) -> str:
    return value if len(value) <= _LONGEST_VALUE else value[: _LONGEST_VALUE - 3] + "..."
