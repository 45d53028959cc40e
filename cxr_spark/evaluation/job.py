"""The evaluate job on the driver: read predictions and labels, measure, and write metrics, plots and report."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from cxr_spark.config import EvaluateSettings, PrepareSettings, Settings
from cxr_spark.datasets.base import LabelTable
from cxr_spark.datasets.findings import shared_findings
from cxr_spark.datasets.registry import dataset_named
from cxr_spark.evaluation.computation import Evaluation, evaluate
from cxr_spark.evaluation.reading.columns import Layout
from cxr_spark.evaluation.reading.explanations import Explanations
from cxr_spark.evaluation.reading.lists import check_lists, read_lists, told_unpredicted, with_splits
from cxr_spark.evaluation.reading.predictions import read_predictions, with_labels
from cxr_spark.evaluation.reading.tables import data_files
from cxr_spark.evaluation.reading.truth import Naming, label_settings, read_truth
from cxr_spark.evaluation.report.pictures import illustrated
from cxr_spark.evaluation.report.published import beside_published
from cxr_spark.evaluation.report.write import write
from cxr_spark.evaluation.result import EvaluateResult, result_of
from cxr_spark.outputs.claim import Claim, digest
from cxr_spark.outputs.job import Execution, Input, Job, JobRun, ReadyJob
from cxr_spark.outputs.results import JobResult
from cxr_spark.reporting.provenance import Provenance
from cxr_spark.runtime.requirements import check_calibration
from cxr_spark.storage.store import Store
from cxr_spark.tables.prepared import PreparedDataset
from cxr_spark.tables.schema import TEST, TRAIN

#: Images are rows of numbers here, not pixels: larger Arrow batches than other jobs'.
_CONF = {"spark.sql.execution.arrow.maxRecordsPerBatch": "10000"}

#: Settings that name files: the fingerprint holds the files' URIs and digests instead.
_FILE_SETTINGS = ("baseline", "test_list", "train_list", "data", "explanations", "pictures")

#: Inputs of pictures for the report.
_SHOWN = ("--data", "--explanations")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EvaluateJob(Job[EvaluateResult]):
    """Measures predictions, of the score job or of any other tool.

    Attributes:
        settings: how to evaluate.
        labelling: the dataset that `labels` belong to, and how uncertain labels are read.
        predictions: URI of the predictions.
        out: folder of metrics.json, the plots and the page.
        labels: label files, for predictions that carry no labels.
        log_report: is called with the output folder and the result once the report is written; it raises nothing.
    """

    name: ClassVar[str] = "evaluate"
    result: ClassVar[type[JobResult]] = EvaluateResult
    settings: EvaluateSettings
    labelling: PrepareSettings
    predictions: str
    out: str
    labels: tuple[str, ...] = ()
    log_report: Callable[[Store, EvaluateResult], None] | None = None

    @classmethod
    def from_options(
        cls,
        settings: Settings,
        *,
        predictions: str,
        out: str,
        labels: Sequence[str] | str | None = None,
        labelling: Mapping[str, Any] | None = None,
        log_report: Callable[[Store, EvaluateResult], None] | None = None,
        **options: Any,
    ) -> EvaluateJob:
        """Returns the job that options ask for; further ones are named as the setting of `evaluate` that they replace.

        Args:
            settings: in force without the options.
            predictions: what to evaluate.
            out: the output folder.
            labels: label files.
            labelling: options that replace settings of `prepare`, by their names.
            log_report: see the attribute.
            options: options that replace settings of `evaluate`, by their names.

        Raises:
            ConfigError: an option is out of range.
            UsageError: a package that an option needs is not installed.
        """
        changes = {f"evaluate.{name}": value for name, value in options.items()}
        changes |= {f"prepare.{name}": value for name, value in (labelling or {}).items()}
        whole = settings.updated(changes)
        files = (labels,) if isinstance(labels, str) else tuple(labels or ())
        check_lists(whole.evaluate, bool(files))
        check_calibration(whole.evaluate.calibration)
        return cls(whole.evaluate, whole.prepare, predictions, out, files, log_report)

    def execution(self, asked: Execution) -> Execution:
        """Asks for larger Arrow batches, where the user does not say otherwise."""
        return replace(asked, conf={**_CONF, **asked.conf})

    def inputs(self) -> Mapping[str, Input]:
        """Returns predictions and labels. Executors read the predictions, the driver the labels."""
        return {
            "--predictions": Input.of(self.predictions),
            "--labels": Input(self.labels, on_executors=False),
            "--test-list": Input.of(self.settings.test_list, on_executors=False),
            "--train-list": Input.of(self.settings.train_list, on_executors=False),
            "--baseline": Input.of(self.settings.baseline),
            "--data": Input.of(self.settings.data, on_executors=False),
            "--explanations": Input.of(self.settings.explanations, on_executors=False),
        }

    def read_inputs(self, run: JobRun) -> ReadyJob[EvaluateResult]:
        """Reads the labels and lists the files of the predictions."""
        settings, labelling = self.settings, self.labelling
        predictions, baseline = run.needed_uri("--predictions"), run.uri("--baseline")
        label_uris = list(run.uris["--labels"])
        dataset = dataset_named(labelling.dataset)
        truth, truth_digest = read_truth(dataset, label_uris, labelling) if label_uris else (None, None)
        list_uris = {split: uri for split in (TEST, TRAIN) if (uri := run.uri(f"--{split}-list")) is not None}
        lists = read_lists(list_uris)
        data_uri, explained = (run.uri(name) if settings.pictures == "show" else None for name in _SHOWN)
        data = PreparedDataset.open(data_uri) if data_uri is not None else None
        maps = Explanations.open(explained) if explained is not None else None
        scores = Provenance.of(predictions)
        if maps is not None:
            maps.check_scores(scores)
        if truth is not None:
            truth = with_splits(truth, lists)
        fingerprint = {
            **settings.model_dump(mode="json", exclude={*_FILE_SETTINGS, *settings.at_default("calibration")}),
            **{f"{split}_list": hashlib.sha256(content).hexdigest() for split, content in lists.items()},
            "predictions": predictions,
            "prediction_files": _digest_of_files(predictions),
            "dataset": dataset.name if truth else None,
            "labels": truth_digest,
            **(label_settings(dataset, labelling).model_dump(mode="json", exclude_defaults=True) if truth else {}),
            "baseline": baseline,
            "baseline_files": _digest_of_files(baseline) if baseline else None,
            **({"data": data.store.uri, "manifest": digest(data.manifest)} if data else {}),
            **({"explanations": maps.store.uri, "explanation_files": maps.digest} if maps else {}),
        }

        def produce(claimed: Claim) -> EvaluateResult:
            evaluation = self._evaluate(run, scores, truth, label_uris, list_uris)
            evaluation = illustrated(evaluation, data, maps, scores.images)
            write(claimed.store, evaluation)
            result = result_of(claimed.store, evaluation.metrics)
            if self.log_report is not None:
                self.log_report(claimed.store, result)
            return result

        return ReadyJob(fingerprint, produce)

    def _evaluate(
        self,
        run: JobRun,
        scores: Provenance,
        truth: LabelTable | None,
        label_uris: list[str],
        lists: Mapping[str, str],
    ) -> Evaluation:
        settings, uri, baseline = self.settings, run.needed_uri("--predictions"), run.uri("--baseline")
        layout = Layout(settings.index_column, settings.prob_prefix, settings.scores == "logits")
        known = truth.findings if truth is not None else None
        task = None if settings.task == "auto" else settings.task
        predictions = read_predictions(uri, layout=layout, vocabulary=known, task=task)
        if truth is not None:
            predictions = with_labels(predictions, truth, ", ".join(label_uris), Naming(self.labelling.dataset))
        compared = None
        if baseline is not None:
            compared = read_predictions(baseline, layout=layout, vocabulary=predictions.findings, task=task)
            shared = shared_findings(compared.findings, predictions.findings)
            compared = replace(compared, findings=tuple(shared.get(name, name) for name in compared.findings))
        evaluation = evaluate(
            predictions,
            lambda: run.spark,
            replicates=settings.replicates,
            seed=settings.seed,
            split=(TEST if lists else None) if settings.split == "all" else settings.split,
            lists=lists,
            task=task,
            calibration=settings.calibration,
            baseline=compared,
            synthetic=scores.is_synthetic(label_uris),
        )
        if truth is not None and lists:
            evaluated = TEST if settings.split == "all" else settings.split
            evaluation.metrics["warnings"] += told_unpredicted(truth, evaluated, evaluation.metrics["n_images"])
        labels = label_uris[0] if len(label_uris) == 1 else label_uris or None
        metrics = evaluation.metrics
        metrics["warnings"] += scores.warnings
        metrics["warnings"] += [f"baseline: {told}" for told in (Provenance.of(baseline).warnings if baseline else ())]
        metrics.update(predictions=uri, labels=labels, model=scores.model(metrics["model_id"]))
        metrics["splits_trained_on"] = scores.splits_trained_on
        evaluation.prepared.update(scores.prepared)
        side = (metrics["model"] or {}).get("input_size")
        metrics["published"] = beside_published(metrics, evaluation.prepared, side)
        return evaluation


def _digest_of_files(uri: str) -> str:
    listed = "".join(f"{file.uri}\0{file.size}\0{file.modified}\n" for file in data_files(uri))
    return hashlib.sha256(listed.encode()).hexdigest()
