"""Trainings of a small network, as commands and as ranks without Spark."""

from __future__ import annotations

import json
import time

import pytest

from cxr_spark.commands.main import main
from cxr_spark.training.checkpoints import Checkpoints

#: A network with dropout and batch norms, small enough to train in seconds.
SMALL = ("model.architecture=efficientnet_b0", "model.input_size=32", "model.dropout=0.2", "train.learning_rate=1e-3")


def planned_store(out):
    from cxr_spark.storage.store import Store

    return Store(str(out / "checkpoints"))


def wait_for_step(out, step, process, log):
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline and process.poll() is None:
        manifest = Checkpoints(planned_store(out)).manifest()
        if manifest and manifest["entries"][-1]["global_step"] >= step:
            return
        time.sleep(0.05)
    pytest.fail(f"step {step} was never reached: " + log.read_text()[-2000:])


def train(data, out, *options):
    more = [text for override in (*SMALL, "train.global_batch=10") for text in ("--set", override)]
    return main(["train", "--data", str(data), "--out", str(out), *more, *options])


def model_id(out):
    return json.loads((out / "model" / "metadata.json").read_text())["weights_sha256"]
