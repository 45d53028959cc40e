"""The train job as a function.

Arguments, settings and errors follow the rules of `cxr_spark.python_api`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, overload

from cxr_spark.errors import UsageError
from cxr_spark.outputs.job import Execution
from cxr_spark.outputs.run_job import run_job
from cxr_spark.python_api.settings import Group, settings_of
from cxr_spark.runtime.requirements import check_torch

if TYPE_CHECKING:
    from cxr_spark.training.cross_validation.results import CrossValidationResult
    from cxr_spark.training.job import TrainResult
    from cxr_spark.training.range_test.job import RangeTestResult


@overload
def train(
    *,
    data: str,
    out: str,
    backend: str | None = ...,
    workers: int | None = ...,
    folds: None = ...,
    find_rate: None = ...,
    model: Group | None = ...,
    train: Group | None = ...,
    config: str | None = ...,
    overwrite: bool = ...,
) -> TrainResult: ...


@overload
def train(
    *,
    data: str,
    out: str,
    backend: str | None = ...,
    workers: int | None = ...,
    folds: int,
    find_rate: None = ...,
    model: Group | None = ...,
    train: Group | None = ...,
    config: str | None = ...,
    overwrite: bool = ...,
) -> CrossValidationResult: ...


@overload
def train(
    *,
    data: str,
    out: str,
    backend: str | None = ...,
    workers: int | None = ...,
    folds: None = ...,
    find_rate: int,
    model: Group | None = ...,
    train: Group | None = ...,
    config: str | None = ...,
    overwrite: bool = ...,
) -> RangeTestResult: ...


def train(
    *,
    data: str,
    out: str,
    backend: str | None = None,
    workers: int | None = None,
    folds: int | None = None,
    find_rate: int | None = None,
    model: Group | None = None,
    train: Group | None = None,
    config: str | None = None,
    overwrite: bool = False,
) -> TrainResult | CrossValidationResult | RangeTestResult:
    """Fine-tunes a network on prepared data, and goes on where a run that was stopped left off.

    Args:
        data: output of `prepare`.
        out: folder of the run: model, checkpoints, history.json, curves.png and the page training.html.
        backend: torch or bigdl.
        workers: training processes (ranks).
        folds: number of folds of a cross-validation by patient, each with a run in `out/fold_1` and so on; None for one
            training.
        find_rate: number of steps of a range test, which suggests a learning rate instead of training; None for a
            training.
        model: settings of the group `model`, such as `{"architecture": "resnet50_v1"}`.
        train: settings of the group `train`, such as `{"epochs": 3, "schedule": {"kind": "cosine"}}`.
        config: URI of a settings file.
        overwrite: whether to start anew, whatever is there.

    Raises:
        UsageError: an argument or setting cannot work.
        DataError: the prepared data or the weights are damaged.
        RunError: the training failed.
    """
    check_torch("cxr_spark.train")
    from cxr_spark.spark_ml.training import train_job
    from cxr_spark.training.cross_validation.job import CrossValidationJob
    from cxr_spark.training.range_test.job import RangeTestJob

    settings = settings_of(config, {"model": model, "train": train})
    job = train_job(settings, data=data, out=out, backend=backend, workers=workers)
    execution = Execution(overwrite=overwrite, config=config)
    if find_rate is not None:
        if folds is not None:
            raise UsageError(f"folds={folds} and find_rate={find_rate} exclude each other: leave one of them out")
        return run_job(RangeTestJob.of(job, find_rate), execution)
    return run_job(job, execution) if folds is None else run_job(CrossValidationJob.of(job, folds), execution)
