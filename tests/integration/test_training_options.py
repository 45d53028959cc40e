"""The options of the training loop on one rank and on several, in processes of their own."""

from __future__ import annotations

import pytest
import torch

from cxr_spark.training.checkpoints import Checkpoints
from tests.support.prepared_sets import write_prepared
from tests.support.ranks import start_ranks
from tests.support.tiny_training import tiny_spec

#: With up-sampling the images of a step do not depend on the number of ranks.
SAME_IMAGES = {"optimizer": "sgd", "learning_rate": 0.002, "global_batch": 12, "epochs": 2, "balancing": "upsample"}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_prepared(tmp_path_factory.mktemp("data") / "prepared", {"train": 36, "val": 11}, masked=0.1)


def start(spec, out, workers):
    """Starts the ranks in a process group of their own, without Spark."""
    out.mkdir(exist_ok=True)
    (out / "job.json").write_text(spec.model_dump_json())
    return start_ranks("tests.support.tiny_training", out, workers)


def finish(spec, out, workers):
    assert start(spec, out, workers).wait(300) == 0, (out / "ranks.log").read_text()[-3000:]
    last = Checkpoints(spec.checkpoints).load()
    assert last.progress.finished
    return last


@pytest.mark.parametrize(
    "options",
    [{}, {"clip_norm": 0.2}, {"ema_decay": 0.8, "layer_decay": 0.5}, {"loss": "asymmetric"}, {"accumulate": 2}],
    ids=str,
)
def test_the_number_of_ranks_changes_nothing_but_rounding(data, tmp_path, options):
    found = []
    for workers in (1, 2, 3):
        out = tmp_path / str(workers)
        found.append(finish(tiny_spec(data, out, workers=workers, **SAME_IMAGES, **options), out, workers))
    for other in found[1:]:
        for name, tensor in found[0].model.items():
            torch.testing.assert_close(other.model[name], tensor, rtol=1e-4, atol=1e-6)
