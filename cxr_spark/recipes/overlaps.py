"""Which of a pipeline's inputs lie where its jobs write, and the other way round: known before the first job runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from cxr_spark.config import Settings
from cxr_spark.models.initial_weights import uri_of_weights
from cxr_spark.outputs.overlap import OverlapError, config_inputs, refuse_overlap
from cxr_spark.recipes.child_jobs import ChildJob


def overlaps(
    settings: Settings,
    jobs: Sequence[ChildJob],
    config: str | None,
    resolve: Callable[[str], str],
    hadoop: Mapping[str, str] | None,
) -> Iterator[OverlapError]:
    """Finds the overlaps of inputs and outputs. Each job checks for its own again, when it runs.

    Args:
        settings: the settings of the pipeline.
        jobs: the jobs that are to run.
        config: the settings file as the user wrote it.
        resolve: turns a path into its full URI.
        hadoop: Hadoop's settings.

    Yields:
        At most one error for each job.
    """
    for job in jobs:
        inputs = {name: [resolve(path) for path in paths] for name, paths in _inputs(settings, job.name).items()}
        weights = uri_of_weights(settings.model.weights, resolve("/")) if job.name == "train" else None
        try:
            refuse_overlap(
                resolve(job.out),
                {**inputs, "model.weights": [weights], "--config": config_inputs(config)},
                hadoop,
                sees_links=job.name == "prepare",
            )
        except OverlapError as error:
            yield error


def _inputs(settings: Settings, name: str) -> dict[str, Sequence[str]]:
    """Returns the paths of a job's inputs, by setting. The next run of prepare reads images wherever a job writes."""
    prepare = settings.prepare
    images = {"prepare.images": prepare.images}
    match name:
        case "prepare":
            lists = {"prepare.train_list": prepare.train_list, "prepare.test_list": prepare.test_list}
            return {**images, "prepare.labels": prepare.labels, **{name: _given(path) for name, path in lists.items()}}
        case "train":
            return {
                **images,
                "train.soft_labels": _given(settings.train.soft_labels),
                "train.mlflow.uri": _given(settings.train.mlflow.place),
            }
        case "score":
            score = {name: getattr(settings.score, name) for name in ("calibration_data", "thresholds")}
            return {**images, **{f"score.{name}": _given(path) for name, path in score.items()}}
        case "evaluate":
            names = ("baseline", "data", "explanations", "test_list", "train_list")
            read = {name: getattr(settings.evaluate, name) for name in names}
            return {**images, **{f"evaluate.{name}": _given(path) for name, path in read.items()}}
        case "explain":
            read = {name: getattr(settings.explain, name) for name in ("boxes", "image_list")}
            return {**images, **{f"explain.{name}": _given(path) for name, path in read.items()}}
    return dict(images)


def _given(path: str | None) -> Sequence[str]:
    return () if path is None else (path,)
