"""Logs the report of an evaluation into the run that MLflow has of its model."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable
from pathlib import Path

from cxr_spark.config.tracking import MlflowSettings
from cxr_spark.evaluation.result import EvaluateResult
from cxr_spark.runtime.requirements import check_mlflow
from cxr_spark.storage.store import Store
from cxr_spark.storage.uris import without_credentials
from cxr_spark.training.tracking.run import MODEL_TAG
from cxr_spark.training.tracking.service import Service, connect, told

log = logging.getLogger(__name__)

#: The files of an evaluation that are logged, and their folder among the artifacts of the run.
_FILES = ("report.html", "metrics.json", "model_card.md", "roc.png", "auc.png")
_FOLDER = "evaluation"
#: The numbers of an evaluation that become metrics of the run.
_NUMBERS = ("macro_auc", "macro_auc_without_no_finding", "micro_auc", "macro_f1")

ReportLogger = Callable[[Store, EvaluateResult], None]


def report_logger(settings: MlflowSettings) -> ReportLogger | None:
    """Returns what logs the report of an evaluation; None where no tracking URI is set.

    It finds the run by the hash of the model, in the experiment of the settings. Nothing that happens to MLflow fails
    the evaluation: a warning tells of it.

    Args:
        settings: those that the training of the model had.

    Raises:
        UsageError: MLflow's client is not installed.
    """
    uri = settings.uri
    if not uri:
        return None
    shown = without_credentials(uri)
    check_mlflow(shown)

    def log_report(folder: Store, result: EvaluateResult) -> None:
        try:
            service, experiment = connect(uri, settings.experiment)
            run = result.model_id and service.run_with(experiment, MODEL_TAG, result.model_id)
            if not run:
                log.warning(
                    "MLflow at %s has no finished run of the model %s in the experiment %s, so it lacks the report",
                    shown,
                    result.model_id or "of these predictions, which is not known",
                    settings.experiment,
                )
                return
            _log(service, run, folder, result)
            log.info("MLflow at %s has the report in the run %s of the model", shown, run)
        except Exception as error:  # of many classes; the evaluation is whole in its own folder
            log.warning(
                "MLflow at %s does not take the report (%s), which is whole in %s", shown, told(error), folder.uri
            )

    return log_report


def _log(service: Service, run: str, folder: Store, result: EvaluateResult) -> None:
    summary = result.summary()
    numbers = {f"evaluation_{name}": summary[name] for name in _NUMBERS if isinstance(summary.get(name), float)}
    service.log_results(run, numbers)
    with tempfile.TemporaryDirectory() as local:
        for name in _FILES:
            path = Path(local, name)
            path.write_bytes(folder.read_bytes(name))
            service.log_file(run, path, _FOLDER)
