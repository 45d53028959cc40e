"""Both backends train the same network from the same start, one batch of all images a step: they must agree.

With all images in a batch their order does not matter, which is BigDL's own.
"""

from __future__ import annotations

import os
from unittest import mock

import pytest
import torch

from cxr_spark.bigdl.training import BigDLTraining
from cxr_spark.config import load_settings
from cxr_spark.tables.prepared import PreparedDataset
from cxr_spark.training.checkpoints import Checkpoints
from cxr_spark.training.rank import task as rank
from cxr_spark.training.rank.process_group import ProcessGroup
from cxr_spark.training.start import start_training
from tests.bigdl.conftest import ENGINE
from tests.support.prepared_sets import write_prepared

IMAGES = 16
COMMON = (
    "model.architecture=googlenet",
    "model.input_size=48",
    f"train.global_batch={IMAGES}",
    "train.optimizer=sgd",
    "train.learning_rate=0.01",
    "train.precision=fp32",
)
#: The last block and the head: through all batch norms of a random network float32 keeps two digits of a gradient.
PARTLY = ("model.freeze={until: inception5a}", "train.epochs=3")
VARIANTS = {
    "partly_frozen": PARTLY,
    "warmup_then_plateau": (
        *PARTLY,
        "train.schedule.warmup_epochs=2",
        "train.schedule.warmup_start=0.001",
        "train.schedule.metric=train_loss",
        "train.schedule.patience=0",
        "train.schedule.min_delta=10",
    ),
    "weights_and_decay": (
        *PARTLY,
        "train.balancing=class_weights",
        "train.class_weights={Mass: 3.0}",
        "train.weight_decay=0.1",
        "train.head_weight_decay=0.5",
    ),
    "adam_on_the_head": ("model.freeze=backbone", "model.hidden=[8]", "train.epochs=3", "train.optimizer=adam"),
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "prepared"
    return write_prepared(folder, {"train": IMAGES, "val": 6}, size=48, masked=0.15)


def planned(data, out, backend, engine, overrides):
    settings = load_settings(None, [*COMMON, *overrides, f"train.backend={backend}", f"train.bigdl_engine={engine}"])
    dataset = PreparedDataset.open(str(data))
    return start_training(settings, dataset, f"file://{out}", threads=1, lock_token=None, default_fs="file:///")


def trained_by_both(spark, cluster, engine, data, folder, overrides):
    """The last checkpoints of BigDL and of torch, and the first one."""
    ours = planned(data, folder / "bigdl", "bigdl", engine, overrides)
    start = Checkpoints(ours.checkpoints).load()
    BigDLTraining(spark, ours, cluster).run()
    theirs = planned(data, folder / "torch", "torch", engine, overrides)
    with mock.patch.dict(os.environ, {"RANK": "0", "WORLD_SIZE": "1"}):
        rank.train(theirs, ProcessGroup())
    return Checkpoints(ours.checkpoints).load(), Checkpoints(theirs.checkpoints).load(), start


def difference(found, expected, start):
    """How far the updates of the weights are apart, against how large they are."""
    names = [n for n, t in start.network.items() if t.is_floating_point() and "running" not in n]
    apart = torch.cat([(found.network[n] - expected.network[n]).ravel() for n in names]).norm()
    moved = torch.cat([(expected.network[n] - start.network[n]).ravel() for n in names]).norm()
    assert moved > 0
    return float(apart / moved)


@pytest.mark.skipif(ENGINE == "mkldnn", reason="mkldnn does not freeze; settings refuse it")
@pytest.mark.parametrize("variant", VARIANTS)
def test_weights_after_three_epochs(spark, cluster, engine, data, tmp_path, variant):
    found, expected, start = trained_by_both(spark, cluster, engine, data, tmp_path, VARIANTS[variant])
    assert found.progress.finished
    for mine, other in zip(found.progress.history, expected.progress.history, strict=True):
        assert mine["train_loss"] == pytest.approx(other["train_loss"], rel=1e-4)
        assert mine["learning_rate"] == pytest.approx(other["learning_rate"], rel=1e-6)
    # Adam divides by the root of squared gradients: where those are tiny it magnifies the last digits.
    assert difference(found, expected, start) < (1e-2 if "adam" in variant else 1e-3)
    frozen = start.network.keys() - {n for n in start.network if not torch.equal(found.network[n], start.network[n])}
    assert {"conv1.conv.weight", "conv1.bn.running_mean", "inception3a.branch1.bn.running_var"} <= frozen


def test_one_step_of_the_whole_network(spark, cluster, engine, data, tmp_path):
    overrides = ("train.epochs=1", "train.weight_decay=0.01")
    found, expected, start = trained_by_both(spark, cluster, engine, data, tmp_path, overrides)
    losses = [checkpoint.progress.history[0]["train_loss"] for checkpoint in (found, expected)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    assert difference(found, expected, start) < 0.05
