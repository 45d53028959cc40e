"""The jobs that run and explain a model, as functions.

Arguments, settings and errors follow the rules of `cxr_spark.python_api`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cxr_spark.outputs.job import Execution
from cxr_spark.outputs.run_job import run_job
from cxr_spark.python_api.settings import Group, Paths, settings_of
from cxr_spark.runtime.requirements import check_torch

if TYPE_CHECKING:
    from cxr_spark.explanation.job import ExplainResult
    from cxr_spark.scoring.job import ScoreResult


def score(
    *,
    model: Paths,
    out: str,
    data: str | None = None,
    images: Paths | None = None,
    split: str | None = None,
    image_index: str | None = None,
    batch: int | None = None,
    engine: str | None = None,
    precision: str | None = None,
    average: str | None = None,
    tta: str | None = None,
    calibrate: str | None = None,
    calibration_data: str | None = None,
    format: str | None = None,
    columns: str | None = None,
    thresholds: str | None = None,
    operating_point: str | None = None,
    incremental: bool = False,
    score: Group | None = None,
    config: str | None = None,
    overwrite: bool = False,
) -> ScoreResult:
    """Writes the probability of every finding for every image of prepared data, or of raw image files.

    Args:
        model: model folder, such as `train(...).model`; of several the probabilities are averaged.
        out: folder of the predictions.
        data: output of `prepare`; either this or `images`.
        images: folders or globs of raw images; one, or several.
        split: split of the prepared data: train, val, test, several such as `"val,test"`, or all.
        image_index: what a raw image is called: name or path.
        batch: images per forward pass.
        engine: library that runs the network: auto, torch or openvino.
        precision: number format of the computation: auto, fp32 or bf16.
        average: what is averaged over models and views: probabilities, logits or ranks.
        tta: none, or flip: each model sees the mirror image, too.
        calibrate: none, or platt: fit each model to the labels of validation images first.
        calibration_data: prepared data with these validation images; by default `data`.
        format: format of the predictions: parquet or csv.
        columns: findings for one column a finding beside the lists.
        thresholds: evaluation of this model whose thresholds decide what is called.
        operating_point: by which rule those thresholds were chosen, such as f1.
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
        engine=engine,
        precision=precision,
        average=average,
        tta=tta,
        calibrate=calibrate,
        calibration_data=calibration_data,
        format=format,
        columns=columns,
        thresholds=thresholds,
        operating_point=operating_point,
        user="cxr_spark.score",
    )
    return run_job(job, Execution(overwrite=overwrite, config=config))


def explain(
    *,
    model: str,
    out: str,
    data: str | None = None,
    images: Paths | None = None,
    boxes: str | None = None,
    finding: str | None = None,
    method: str | None = None,
    layers: Paths | None = None,
    split: str | None = None,
    only: str | None = None,
    limit: int | None = None,
    image_index: str | None = None,
    box_side: int | None = None,
    threshold: float | None = None,
    batch: int | None = None,
    image_list: str | None = None,
    sanity: int | None = None,
    explain: Group | None = None,
    config: str | None = None,
    overwrite: bool = False,
) -> ExplainResult:
    """Draws where in an image a model finds its evidence, and measures how that agrees with radiologists' boxes.

    Args:
        model: model folder, such as `train(...).model`.
        out: folder of the pictures, one an image, of index.html and of localization.json.
        data: output of `prepare`; either this or `images`.
        images: folders or globs of raw images; one, or several.
        boxes: list of boxes, of NIH or RSNA.
        finding: whose evidence is shown; top for each image's most probable finding.
        method: gradcam or gradcam++.
        layers: layers whose maps are drawn, too.
        split: split of the prepared data.
        only: all, or boxed.
        limit: explain the first so many images.
        image_list: list of the images to explain, such as tables/mistakes.csv of an evaluation.
        image_index: what a raw image is called: name or path.
        box_side: side of the images on which the boxes were drawn, in pixels.
        threshold: fraction of a map's maximum from which it counts as overlap with a box.
        batch: images per forward pass.
        sanity: number of images whose maps are compared with those of the network with random weights.
        explain: further settings of the group `explain`.
        config: URI of a settings file.
        overwrite: whether to replace the output of another run.

    Raises:
        UsageError: an argument or setting cannot work.
        DataError: the images, the boxes, the prepared data or the model are not what they should be.
        RunError: the work failed.
    """
    check_torch("cxr_spark.explain")
    from cxr_spark.explanation.job import ExplainJob

    job = ExplainJob.from_options(
        settings_of(config, {"explain": explain}),
        model=model,
        out=out,
        data=data,
        images=images,
        boxes=boxes,
        finding=finding,
        method=method,
        layers=layers,
        split=split,
        only=only,
        limit=limit,
        image_index=image_index,
        box_side=box_side,
        threshold=threshold,
        batch=batch,
        image_list=image_list,
        sanity=sanity,
    )
    return run_job(job, Execution(overwrite=overwrite, config=config))
