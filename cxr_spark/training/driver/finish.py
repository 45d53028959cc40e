"""From the checkpoints of a finished training to its model, history and curves."""

from __future__ import annotations

import platform
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from cxr_spark.errors import RunError
from cxr_spark.models.architectures import build
from cxr_spark.models.folder import BuildArguments, ModelMetadata, Preprocessing, save_model
from cxr_spark.reporting.training_curves import training_curves
from cxr_spark.training.checkpoints import BEST, LAST, Checkpoints
from cxr_spark.training.specification import TrainingJob

MODEL = "model"


def finish(job: TrainingJob, resize: str) -> ModelMetadata:
    """Writes `history.json`, `curves.png` and the model folder of a training that is over.

    The model is the epoch that `train.final_model` says; the last one where its metric is not defined.

    Args:
        job: the training.
        resize: how the prepared images were made square.

    Returns:
        The model's metadata.

    Raises:
        RunError: the training is not over.
    """
    checkpoints = Checkpoints(job.checkpoints)
    last = checkpoints.load(LAST)
    if last is None or not last.progress.finished:
        raise RunError(f"the training in {job.run_uri} has not come to its end: run the same command again")
    best = checkpoints.load(job.train.final_model) or last
    history = list(last.progress.history)
    job.run.write_json("history.json", history)
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder, "curves.png")
        training_curves(history, picture, BEST.get(job.train.final_model, "epoch"))
        job.run.write_bytes("curves.png", picture.read_bytes())
    module = build(
        job.model.architecture,
        len(job.findings),
        dropout=job.model.dropout,
        hidden=job.model.hidden,
        batch_norm_epsilon=job.batch_norm_epsilon,
    )
    module.load_state_dict(best.network)
    entry: dict[str, Any] = best.progress.history[-1]
    metadata = ModelMetadata(
        architecture=job.model.architecture,
        findings=job.findings,
        n_outputs=len(job.findings),
        task=job.model.task,
        preprocessing=Preprocessing(
            input_size=job.input_size,
            stored_size=job.prepared_size,
            crop=job.held_size != job.input_size,
            resize=resize,
        ),
        build=BuildArguments(
            dropout=job.model.dropout, hidden=job.model.hidden, batch_norm_epsilon=job.batch_norm_epsilon
        ),
        training={
            "data": job.data_uri,
            "model": job.model.model_dump(mode="json"),
            "train": job.train.model_dump(mode="json"),
        },
        metrics={name: entry[name] for name in ("epoch", "val_loss", "val_macro_auc", "val_micro_auc", "val_accuracy")},
        versions=versions("bigdl-dllib-spark3") if job.train.backend == "bigdl" else versions(),
    )
    return save_model(job.run.child(MODEL), module, metadata)


def versions(*more: str) -> dict[str, str]:
    """Returns the versions of Python and of the packages that decide a result.

    Args:
        more: packages beside those that every training uses.
    """
    found = {"python": platform.python_version()}
    for name in ("cxr-spark", "torch", "torchvision", "numpy", "pyspark", "opencv-python-headless", *more):
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # a checkout that is not installed
            found[name] = "unknown"
    return found
