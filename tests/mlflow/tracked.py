"""What MLflow holds of a training, read by MLflow's own client, beside what the training's folder says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

METRICS = (
    *("train_loss", "val_loss", "val_macro_auc", "val_micro_auc", "val_accuracy", "learning_rate"),
    "images_per_second",
)


def client(uri: str) -> Any:
    """Returns MLflow's client."""
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri)


def runs(uri: str, experiment: str) -> list[Any]:
    """Returns the runs of an experiment; none where it is not there."""
    found = client(uri).get_experiment_by_name(experiment)
    return list(client(uri).search_runs([found.experiment_id])) if found else []


def epochs(uri: str, run: str) -> list[tuple[str, int, float]]:
    """Returns each value that was logged, also those that were logged more than once: name, step, value."""
    return sorted(
        (name, item.step, item.value) for name in METRICS for item in client(uri).get_metric_history(run, name)
    )


def history(out: Path) -> list[tuple[str, int, float]]:
    """Returns the same as the training's history tells it."""
    entries = json.loads((out / "history.json").read_text())
    return sorted(
        (name, entry["epoch"], entry[name]) for entry in entries for name in METRICS if entry[name] is not None
    )


def artifacts(uri: str, run: str, into: Path) -> dict[str, bytes]:
    """Downloads all artifacts of a run: their content by name."""
    into.mkdir()
    folder = Path(client(uri).download_artifacts(run, "", str(into)))
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
