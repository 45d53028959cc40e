"""Makes the model, the history and the curves out of the checkpoints of a finished training."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from cxr_spark.errors import RunError
from cxr_spark.models.folder import save_model
from cxr_spark.models.metadata import ModelMetadata, Preprocessing
from cxr_spark.models.names import is_timm
from cxr_spark.outputs.claim import digest
from cxr_spark.outputs.names import HISTORY_NAME
from cxr_spark.storage.uris import without_credentials
from cxr_spark.training.checkpoints import LAST, Checkpoints
from cxr_spark.training.live.following import TrainingPage
from cxr_spark.training.specification import TrainingSpec

MODEL = "model"


def finish(spec: TrainingSpec, manifest: Mapping[str, Any]) -> ModelMetadata:
    """Writes `history.json`, `curves.png`, `training.html` and the model folder of a finished training.

    The model is that of the epoch which `train.final_model` names, or of the last one where the metric is not defined.

    Args:
        spec: the training.
        manifest: that of the prepared data. The model's metadata say how raw images are made square (`squash` where it
            does not), and what was white in PNG files of 16 bits (65535 where it does not), as these were.

    Returns:
        The model's metadata.

    Raises:
        RunError: the training has not come to its end.
    """
    checkpoints = Checkpoints(spec.checkpoints)
    last = checkpoints.load(LAST)
    if last is None or not last.progress.finished:
        raise RunError(f"the training in {spec.run_uri} has not come to its end: run the same command again")
    best = checkpoints.load(spec.train.final_model) or last
    history = list(last.progress.history)
    spec.run.write_json(HISTORY_NAME, history)
    module = spec.network()
    module.load_state_dict(best.model)
    entry: dict[str, Any] = best.progress.history[-1]
    metadata = ModelMetadata(
        architecture=spec.model.architecture,
        findings=spec.findings,
        n_outputs=len(spec.findings),
        task=spec.model.task,
        preprocessing=Preprocessing(
            input_size=spec.input_size,
            stored_size=spec.prepared_size,
            crop=spec.held_size != spec.input_size,
            resize=str(manifest.get("resize", "squash")),
            white_level=manifest.get("white_level"),
        ),
        build=spec.build_arguments,
        training={
            "data": spec.data_uri,
            "data_manifest": digest(manifest),
            "model": _without_passwords(spec.model.model_dump(mode="json")),
            "train": _without_passwords(spec.train.model_dump(mode="json", exclude={"mlflow"})),
            **({"fold": spec.fold.model_dump()} if spec.fold else {}),
        },
        metrics={name: entry[name] for name in ("epoch", "val_loss", "val_macro_auc", "val_micro_auc", "val_accuracy")},
        versions=versions(*_packages(spec)),
    )
    saved = save_model(spec.run.child(MODEL), module, metadata)
    TrainingPage(spec).renew("finished", history)
    return saved


def _without_passwords(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns settings with the passwords left out that URIs among them may have, such as that of the weights."""
    return {name: without_credentials(value) if isinstance(value, str) else value for name, value in settings.items()}


def _packages(spec: TrainingSpec) -> Iterator[str]:
    """Yields the packages that this training uses and others do not."""
    if spec.train.backend == "bigdl":
        yield "bigdl-dllib-spark3"
    if is_timm(spec.model.architecture):
        yield "timm"


def versions(*more: str) -> dict[str, str]:
    """Returns the versions of Python and of the packages that decide a result.

    Args:
        more: names of further packages, which only some trainings use.
    """
    found = {"python": platform.python_version()}
    for name in ("cxr-spark", "torch", "torchvision", "numpy", "pyspark", "opencv-python-headless", *more):
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # a checkout that is not installed
            found[name] = "unknown"
    return found
