"""A training of a tiny network, by the program's own trainer, in this process or as ranks of `tests.support.ranks`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cxr_spark.config import ModelSettings, TrainSettings
from cxr_spark.models.device import choose
from cxr_spark.models.head import Head
from cxr_spark.tables.schema import TRAIN, VALIDATION
from cxr_spark.training.checkpoints import Checkpoint, Checkpoints, Progress
from cxr_spark.training.rank.process_group import ProcessGroup
from cxr_spark.training.rank.range_test import RangeTester
from cxr_spark.training.rank.sampler import Sampler
from cxr_spark.training.rank.shards import bounds, load_images, load_shard, read_index
from cxr_spark.training.specification import TrainingSpec

FINDINGS = ("Effusion", "Mass", "No Finding")
SIZE = 32


class TinyNetwork(nn.Module):
    """One convolution, a batch norm where `normed` is true, and a head; the same weights in every process."""

    def __init__(self, normed: bool) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(5)
            self.conv = nn.Conv2d(3, 4, 5, stride=4)
            self.norm = nn.BatchNorm2d(4) if normed else nn.Identity()
            self.head = Head(4, len(FINDINGS))
        with torch.no_grad():
            self.conv.weight.mul_(0.02)  # the pixels are between -128 and 255

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(torch.relu(self.norm(self.conv(images))).mean(dim=(2, 3)))


def tiny_spec(
    data: Path, out: Path, *, normed: bool = False, soft_labels: tuple[str, str] | None = None, **train: Any
) -> TrainingSpec:
    """Specifies a training on data of `write_prepared`.

    Args:
        data: folder of the data.
        out: folder of the run.
        normed: gives the network a batch norm.
        soft_labels: URI and hash of a teacher.
        train: settings of the training.
    """
    return TrainingSpec(
        run_uri=f"file://{out}",
        data_uri=f"file://{data}",
        findings=FINDINGS,
        prepared_size=SIZE,
        held_size=SIZE,
        input_size=SIZE,
        batch_norm_epsilon=None,
        model=ModelSettings(architecture="normed" if normed else "plain"),
        train=TrainSettings(**{"precision": "fp32", "augmentations": (), "schedule": {"kind": "constant"}, **train}),
        threads=1,
        soft_labels=soft_labels,
    )


def tiny_trainer(spec: TrainingSpec, group: ProcessGroup | None = None) -> RangeTester:
    """Makes the trainer of a rank, as the ranks do."""
    group = group or ProcessGroup()
    compute, dataset = choose("fp32", group.local_rank), spec.dataset()
    index, held_out = read_index(dataset, TRAIN), read_index(dataset, VALIDATION)
    sampler = Sampler(spec.train, index.labels, group.rank, group.world)
    return RangeTester(
        spec=spec,
        module=compute.place(TinyNetwork(spec.model.architecture == "normed")),
        group=group,
        compute=compute,
        index=index,
        sampler=sampler,
        train=load_images(dataset, index, sampler.held(), SIZE),
        validation=load_shard(dataset, held_out, *bounds(len(held_out), group.rank, group.world), SIZE),
    )


def train_tiny(spec: TrainingSpec, group: ProcessGroup | None = None) -> Checkpoint:
    """Trains to the end, from the last checkpoint if there is one, and returns the last one."""
    start = TinyNetwork(spec.model.architecture == "normed").state_dict()
    checkpoints = Checkpoints(spec.checkpoints)
    tiny_trainer(spec, group).run(checkpoints.load() or Checkpoint(Progress(), start))
    last = checkpoints.load()
    assert last is not None
    return last


def main(arguments: Sequence[str]) -> None:
    """Runs one rank, from the last checkpoint if there is one.

    Args:
        arguments: the name of a file that holds the training as JSON.
    """
    ranks = ProcessGroup.from_environment()
    torch.set_num_threads(1)
    ranks.connect(torch.device("cpu"), 60)
    train_tiny(TrainingSpec.model_validate_json(Path(arguments[0]).read_text()), ranks)
    ranks.wait_for_all()
    ranks.disconnect()
