"""The specification of a training: all that a rank must know. It is sent to the ranks as JSON."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict
from torch import nn

from cxr_spark.augmentation.building import from_config
from cxr_spark.augmentation.kinds import BatchAugmentation
from cxr_spark.config import ModelSettings, TrainSettings
from cxr_spark.models.architectures import build, build_empty
from cxr_spark.models.metadata import BuildArguments
from cxr_spark.storage.store import Store
from cxr_spark.tables.prepared import PreparedDataset
from cxr_spark.training.folds import Fold
from cxr_spark.training.range_test.plan import RangePlan

CHECKPOINTS = "checkpoints"


class TrainingSpec(BaseModel):
    """The specification of one training. `training.start` makes it on the driver; ranks and BigDL's executors read it.

    Attributes:
        run_uri: URI of the run's folder.
        data_uri: URI of the prepared dataset.
        findings: the findings that the network's outputs stand for, in order.
        prepared_size: side of the prepared images in pixels.
        held_size: side in pixels at which the ranks keep the images during the training.
        input_size: side of the network's input in pixels.
        batch_norm_epsilon: the epsilon that the initial weights were trained with; None to take the architecture's own.
        model: settings of the network.
        train: settings of the training.
        threads: number of CPU threads of a rank.
        lock_token: token of the lock that the driver holds on the run's folder; None where no driver holds one.
        soft_labels: URI and hash of the output of score whose probabilities are mixed into the labels, see
            `soft_labels.Teacher`; None where there are none.
        fold: the training's part in a cross-validation, which decides its images; None for the splits of the dataset.
        range_plan: the rates to try in a range test; None for a training.
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
    soft_labels: tuple[str, str] | None = None
    fold: Fold | None = None
    range_plan: RangePlan | None = None

    @property
    def run(self) -> Store:
        """The run's folder."""
        return Store(self.run_uri)

    @property
    def checkpoints(self) -> Store:
        """The folder with the run's checkpoints."""
        return Store(self.run_uri).child(CHECKPOINTS)

    def dataset(self) -> PreparedDataset:
        """Opens the prepared dataset."""
        return PreparedDataset.open(self.data_uri, verify=self.train.storage == "checked")

    @property
    def build_arguments(self) -> BuildArguments:
        """The arguments of `models.build` that shape the network, beside its name and its number of outputs."""
        return BuildArguments(
            dropout=self.model.dropout, hidden=self.model.hidden, batch_norm_epsilon=self.batch_norm_epsilon
        )

    def network(self) -> nn.Module:
        """Builds the network with random weights."""
        return build(self.model.architecture, len(self.findings), **self.build_arguments.model_dump())

    def empty_network(self) -> nn.Module:
        """Builds the network without storage for its weights, which a state is then assigned to."""
        return build_empty(self.model.architecture, len(self.findings), **self.build_arguments.model_dump())

    def augmentations(self) -> list[BatchAugmentation]:
        """Builds the augmentations that the settings name."""
        return from_config(self.train.augmentations)
