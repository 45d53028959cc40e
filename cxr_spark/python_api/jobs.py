"""The jobs as functions, for notebooks and for programs of one's own.

Their arguments are the options of the commands of the same names, with underscores for hyphens. They also take:

- `config`: URI of a YAML settings file;
- groups of settings as dicts, which win over the file, such as `train={"epochs": 3}`; an option wins over both;
- `overwrite`: whether to replace the output of another run of the same job.

A function uses the Spark session that is active, and leaves its settings as they are. Where there is none it starts a
local one, which is left running. An error is one of `cxr_spark.errors`; nothing ends the process. A function that is
called again with the same arguments finds its finished output and returns its result at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cxr_spark.outputs.run_job import Execution, run_job
from cxr_spark.python_api.settings import Group, settings_of

if TYPE_CHECKING:
    from cxr_spark.evaluation.job import EvaluateResult
    from cxr_spark.explanation.job import ExplainResult
    from cxr_spark.exploration.job import ExploreResult
    from cxr_spark.preparation.job import PrepareResult
    from cxr_spark.recipes.job import PipelineResult
    from cxr_spark.scoring.job import ScoreResult
    from cxr_spark.training.job import TrainResult

Paths = str | Sequence[str]


def prepare(
    *,
    out: str,
    images: Paths | None = None,
    labels: Paths | None = None,
    dataset: str | None = None,
    split: str | None = None,
    train_list: str | None = None,
    test_list: str | None = None,
    val_fraction: float | None = None,
    test_fraction: float | None = None,
    size: int | None = None,
    resize: str | None = None,
    seed: int | None = None,
    max_bad_fraction: float | None = None,
    prepare: Group | None = None,
    config: str | None = None,
    overwrite: bool = False,
) -> PrepareResult:
    """Reads, checks and resizes images, joins their labels, splits by patient, and writes a prepared dataset.

    Args:
        out: folder of the prepared dataset.
        images: folders or globs with the images; one, or several.
        labels: label files; one, or several; none for class folders.
        dataset: nih, chexpert, rsna or folder.
        split: official, patient or column.
        train_list: official list of training images; by default beside the labels.
        test_list: official list of test images; by default beside the labels.
        val_fraction: part of the training patients for validation.
        test_fraction: part of all patients for testing, with `split="patient"`.
        size: side of the stored images, in pixels.
        resize: squash, pad or crop.
        seed: seed of all draws.
        max_bad_fraction: the job fails if more of the labelled images are bad.
        prepare: further settings of the group `prepare`.
        config: URI of a settings file.
        overwrite: whether to replace the output of another run.

    Raises:
        UsageError: an argument or setting cannot work.
        DataError: the images or labels are not what they should be.
        RunError: the work failed.
    """
    from cxr_spark.preparation.job import PrepareJob

    job = PrepareJob.from_options(
        settings_of(config, {"prepare": prepare}),
        out=out,
        images=_several(images),
        labels=_several(labels),
        dataset=dataset,
        split=split,
        train_list=train_list,
        test_list=test_list,
        val_fraction=val_fraction,
        test_fraction=test_fraction,
        size=size,
        resize=resize,
        seed=seed,
        max_bad_fraction=max_bad_fraction,
    )
    return run_job(job, Execution(overwrite=overwrite, config=config))


def train(
    *,
    data: str,
    out: str,
    backend: str | None = None,
    workers: int | None = None,
    model: Group | None = None,
    train: Group | None = None,
    config: str | None = None,
    overwrite: bool = False,
) -> TrainResult:
    """Fine-tunes a network on prepared data, and goes on where a run that was stopped left off.

    Args:
        data: output of `prepare`.
        out: folder of the run: model, checkpoints, history.json and curves.png.
        backend: torch or bigdl.
        workers: training processes (ranks).
        model: settings of the group `model`, such as `{"architecture": "resnet50_v1"}`.
        train: settings of the group `train`, such as `{"epochs": 3, "schedule": {"kind": "cosine"}}`.
        config: URI of a settings file.
        overwrite: whether to start anew, whatever is there.

    Raises:
        UsageError: an argument or setting cannot work.
        DataError: the prepared data or the weights are damaged.
        RunError: the training failed.
    """
    from cxr_spark.spark_ml.training import train_job

    settings = settings_of(config, {"model": model, "train": train})
    job = train_job(settings, data=data, out=out, backend=backend, workers=workers)
    return run_job(job, Execution(overwrite=overwrite, config=config))


def score(
    *,
    model: str,
    out: str,
    data: str | None = None,
    images: Paths | None = None,
    split: str | None = None,
    image_index: str | None = None,
    batch: int | None = None,
    incremental: bool = False,
    score: Group | None = None,
    config: str | None = None,
    overwrite: bool = False,
) -> ScoreResult:
    """Writes the probability of every finding for every image of prepared data, or of raw image files.

    Args:
        model: model folder, such as `train(...).model`.
        out: folder of the predictions.
        data: output of `prepare`; either this or `images`.
        images: folders or globs of raw images; one, or several.
        split: split of the prepared data: train, val, test, several such as `"val,test"`, or all.
        image_index: what a raw image is called: name or path.
        batch: images per forward pass.
        incremental: add to `out` the raw images that are new or have changed, each exactly once.
        score: further settings of the group `score`.
        config: URI of a settings file.
        overwrite: whether to replace the output of another run.

    Raises:
        UsageError: an argument or setting cannot work.
        DataError: the images, the prepared data or the model are not what they should be.
        RunError: the work failed.
    """
    from cxr_spark.scoring.job import ScoreJob

    job = ScoreJob.from_options(
        settings_of(config, {"score": score}),
        model=model,
        out=out,
        data=data,
        images=images,
        incremental=incremental,
        split=split,
        image_index=image_index,
        batch=batch,
    )
    return run_job(job, Execution(overwrite=overwrite, config=config))


def evaluate(
    *,
    predictions: str,
    out: str,
    labels: Paths | None = None,
    dataset: str | None = None,
    baseline: str | None = None,
    split: str | None = None,
    task: str | None = None,
    index_column: str | None = None,
    prob_prefix: str | None = None,
    logits: bool = False,
    replicates: int | None = None,
    seed: int | None = None,
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
        dataset: whose labels these are: nih, chexpert, rsna or folder.
        baseline: predictions of another model for the same images, to compare with.
        split: whose images are evaluated: train, val, test or all.
        task: multi_label, single_label or auto.
        index_column: column of another tool's predictions that names the images.
        prob_prefix: what comes before the finding in the names of its columns.
        logits: whether its numbers are logits, not probabilities.
        replicates: bootstrap replicates of the intervals; 0 for none.
        seed: seed of the bootstrap.
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

    job = EvaluateJob.from_options(
        settings_of(config, {"evaluate": evaluate, "prepare": prepare}),
        predictions=predictions,
        out=out,
        labels=labels,
        dataset=dataset,
        baseline=baseline,
        split=split,
        task=task,
        index_column=index_column,
        prob_prefix=prob_prefix,
        scores="logits" if logits else None,
        replicates=replicates,
        seed=seed,
    )
    return run_job(job, Execution(overwrite=overwrite, config=config))


def explore(*, data: str, out: str, overwrite: bool = False) -> ExploreResult:
    """Shows what is in a prepared dataset: class balance, patients, ages, shapes and grey values, as a page.

    Args:
        data: output of `prepare`.
        out: folder of explore.json, explore.html and the plots.
        overwrite: whether to replace the output of another run.

    Raises:
        UsageError: an argument cannot work.
        DataError: the prepared data are damaged.
        RunError: the work failed.
    """
    from cxr_spark.exploration.job import ExploreJob

    return run_job(ExploreJob(data, out), Execution(overwrite=overwrite))


def explain(
    *,
    model: str,
    out: str,
    data: str | None = None,
    images: Paths | None = None,
    boxes: str | None = None,
    finding: str | None = None,
    layers: Paths | None = None,
    split: str | None = None,
    only: str | None = None,
    limit: int | None = None,
    image_index: str | None = None,
    box_side: int | None = None,
    threshold: float | None = None,
    batch: int | None = None,
    explain: Group | None = None,
    config: str | None = None,
    overwrite: bool = False,
) -> ExplainResult:
    """Draws where in an image a model finds its evidence, and measures how that agrees with radiologists' boxes.

    Args:
        model: model folder, such as `train(...).model`.
        out: folder of the pictures, one an image, and of localization.json.
        data: output of `prepare`; either this or `images`.
        images: folders or globs of raw images; one, or several.
        boxes: list of boxes, of NIH or RSNA.
        finding: whose evidence is shown; top for each image's most probable finding.
        layers: layers whose maps are drawn, too.
        split: split of the prepared data.
        only: all, or boxed.
        limit: explain the first so many images.
        image_index: what a raw image is called: name or path.
        box_side: side of the images on which the boxes were drawn, in pixels.
        threshold: part of a map's maximum from which it counts as overlap with a box.
        batch: images per forward pass.
        explain: further settings of the group `explain`.
        config: URI of a settings file.
        overwrite: whether to replace the output of another run.

    Raises:
        UsageError: an argument or setting cannot work.
        DataError: the images, the boxes, the prepared data or the model are not what they should be.
        RunError: the work failed.
    """
    from cxr_spark.explanation.job import ExplainJob

    job = ExplainJob.from_options(
        settings_of(config, {"explain": explain}),
        model=model,
        out=out,
        data=data,
        images=images,
        boxes=boxes,
        finding=finding,
        layers=layers,
        split=split,
        only=only,
        limit=limit,
        image_index=image_index,
        box_side=box_side,
        threshold=threshold,
        batch=batch,
    )
    return run_job(job, Execution(overwrite=overwrite, config=config))


def pipeline(*, config: str, check: bool = False, overwrite: bool = False, **groups: Group) -> PipelineResult:
    """Runs the jobs of a settings file in order, each in a process and a Spark application of its own.

    Args:
        config: URI of the settings file; the jobs read it themselves.
        check: check settings and inputs, tell all problems, and stop.
        overwrite: whether to replace outputs of other runs.
        groups: groups of settings that win over the file, such as `train={"epochs": 3}`.

    Raises:
        UsageError: a setting or an input cannot work.
        DataError: an input is not what it should be.
        StepError: a job failed; it has told why on standard error.
    """
    from cxr_spark.recipes.job import run_pipeline

    return run_pipeline(config, _overrides(groups), check=check, overwrite=overwrite)


def _overrides(groups: Mapping[str, Group]) -> list[str]:
    """Returns groups of settings as texts `section.name=value`, as the jobs of a pipeline read them."""
    import json

    from cxr_spark.config import Settings
    from cxr_spark.errors import ConfigError
    from cxr_spark.python_api.settings import dotted

    for name in groups:
        if name not in Settings.model_fields:
            raise ConfigError(f"{name}=...: expected a group of settings, one of {', '.join(Settings.model_fields)}")
    return [f"{name}={json.dumps(value)}" for name, value in dotted(groups)]


def _several(paths: Paths | None) -> Any:
    """Returns paths as settings take them: a list, or None where there are none."""
    return [paths] if isinstance(paths, str) else None if paths is None else list(paths)
