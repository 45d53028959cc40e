"""What a training rank must know, as one JSON value that travels to it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from cxr_spark.augmentation.building import from_config
from cxr_spark.augmentation.kinds import BatchAugmentation
from cxr_spark.config import ModelSettings, TrainSettings
from cxr_spark.storage.store import Store
from cxr_spark.tables.prepared import PreparedDataset

CHECKPOINTS = "checkpoints"


class TrainingSpec(BaseModel):
    """One training run.

    Attributes:
        run_uri: folder of the run.
        data_uri: prepared dataset.
        findings: outputs of the network, in order.
        prepared_size: side of the prepared images, pixels.
        held_size: side at which ranks hold the images, pixels.
        input_size: side of the network's input, pixels.
        batch_norm_epsilon: of the initial weights; None for the architecture's own.
        model: settings of the network.
        train: settings of the training.
        threads: CPU threads of a rank.
        lock_token: token of the lock under which the run writes; None where no driver holds one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    run_uri: str
    data_uri: str
    findings: tuple[str, ...]
    prepared_size: int
    held_size: int
    input_size: int
    batch_norm_epsilon: float | None
    model: ModelSettings
    train: TrainSettings
    threads: int
    lock_token: str | None = None

    @property
    def run(self) -> Store:
        """The folder of the run."""
        return Store(self.run_uri)

    @property
    def checkpoints(self) -> Store:
        """The folder of the run's checkpoints."""
        return Store(self.run_uri).child(CHECKPOINTS)

    def dataset(self) -> PreparedDataset:
        """Opens the prepared dataset."""
        return PreparedDataset.open(self.data_uri)

    def augmentations(self) -> list[BatchAugmentation]:
        """Builds the augmentations."""
        return from_config(self.train.augmentations)
