"""What a training is told, for tests that read no images."""

from __future__ import annotations

from pathlib import Path

from cxr_spark.config import ModelSettings, TrainSettings
from cxr_spark.training.specification import TrainingSpec


def specification(run: Path, model: ModelSettings, train: TrainSettings) -> TrainingSpec:
    """Returns the specification of a training of one finding on images of 32 px that are nowhere."""
    return TrainingSpec(
        run_uri=f"file://{run}",
        data_uri="file:///nowhere",
        findings=("Mass",),
        prepared_size=32,
        held_size=32,
        input_size=32,
        batch_norm_epsilon=None,
        model=model,
        train=train,
        threads=1,
    )
