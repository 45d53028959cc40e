"""The job that measures predictions, as a function.

Arguments, settings and errors follow the rules of `cxr_spark.python_api`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cxr_spark.outputs.job import Execution
from cxr_spark.outputs.run_job import run_job
from cxr_spark.python_api.settings import Group, Paths, settings_of

if TYPE_CHECKING:
    from cxr_spark.evaluation.result import EvaluateResult


def evaluate(
    *,
    predictions: str,
    out: str,
    labels: Paths | None = None,
    dataset: str | None = None,
    baseline: str | None = None,
    data: str | None = None,
    explanations: str | None = None,
    pictures: str | None = None,
    split: str | None = None,
    test_list: str | None = None,
    train_list: str | None = None,
    task: str | None = None,
    calibration: str | None = None,
    index_column: str | None = None,
    prob_prefix: str | None = None,
    logits: bool = False,
    replicates: int | None = None,
    seed: int | None = None,
    image_column: str | None = None,
    patient_column: str | None = None,
    split_column: str | None = None,
    view_column: str | None = None,
    sex_column: str | None = None,
    age_column: str | None = None,
    finding_columns: Sequence[str] | None = None,
    findings_column: str | None = None,
    findings_separator: str | None = None,
    patient_pattern: str | None = None,
    evaluate: Group | None = None,
    prepare: Group | None = None,
    config: str | None = None,
    overwrite: bool = False,
) -> EvaluateResult:
    """Measures predictions: AUCs with intervals, precision, recall and F1, with plots and a page.

    Args:
        predictions: output of `score`, or a CSV or Parquet table with `Image Index` and `prob_FINDING` columns.
        out: folder of metrics.json, the plots and report.html.
        labels: label files, for predictions that carry no labels; one, or several.
        dataset: whose labels these are: nih, chexpert, rsna, folder or csv.
        baseline: predictions of another model for the same images, to compare with.
        data: the prepared data that hold the images; the report shows those of the worst mistakes.
        explanations: output of `explain` for the same model; the report shows its maps of the worst mistakes.
        pictures: show, or leave_out for a report with the names of images alone.
        split: whose images are evaluated: train, val, test or all.
        test_list: list of test images, for predictions with `labels`; only its images are evaluated.
        train_list: list of training images, which are counted.
        task: multi_label, single_label or auto.
        calibration: how probabilities are calibrated on the validation images: temperature or isotonic.
        index_column: column of another tool's predictions that names the images.
        prob_prefix: what comes before the finding in the names of its columns.
        logits: whether its numbers are logits, not probabilities.
        replicates: bootstrap replicates of the intervals; 0 for none.
        seed: seed of the bootstrap.
        image_column: with `dataset="csv"`, as all that end in `_column`: the column that names the images.
        patient_column: the column of patients.
        split_column: the column of splits.
        view_column: the column of view positions.
        sex_column: the column of sexes.
        age_column: the column of ages.
        finding_columns: columns of one finding each.
        findings_column: the column that names an image's findings.
        findings_separator: what stands between these names.
        patient_pattern: regular expression with one group, the patient in an image's name or path.
        evaluate: further settings of the group `evaluate`.
        prepare: settings of the group `prepare` that tell how labels are read, such as `{"uncertain": "ones"}`.
        config: URI of a settings file.
        overwrite: whether to replace the output of another run.

    Raises:
        UsageError: an argument or setting cannot work.
        DataError: the predictions or labels are not what they should be.
        RunError: the work failed.
    """
    from cxr_spark.evaluation.job import EvaluateJob
    from cxr_spark.training.tracking.report import report_logger

    settings = settings_of(config, {"evaluate": evaluate, "prepare": prepare})
    job = EvaluateJob.from_options(
        settings,
        log_report=report_logger(settings.train.mlflow),
        predictions=predictions,
        out=out,
        labels=labels,
        labelling={
            "dataset": dataset,
            "image_column": image_column,
            "patient_column": patient_column,
            "split_column": split_column,
            "view_column": view_column,
            "sex_column": sex_column,
            "age_column": age_column,
            "finding_columns": finding_columns,
            "findings_column": findings_column,
            "findings_separator": findings_separator,
            "patient_pattern": patient_pattern,
        },
        baseline=baseline,
        data=data,
        explanations=explanations,
        pictures=pictures,
        split=split,
        test_list=test_list,
        train_list=train_list,
        task=task,
        calibration=calibration,
        index_column=index_column,
        prob_prefix=prob_prefix,
        scores="logits" if logits else None,
        replicates=replicates,
        seed=seed,
    )
    return run_job(job, Execution(overwrite=overwrite, config=config))
