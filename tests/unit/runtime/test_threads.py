"""Threads of torch that sleep while they wait: in ranks and Spark's Python workers, unless the user says otherwise."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cxr_spark.runtime import session as spark_module
from cxr_spark.runtime.threads import threads_that_sleep, workers_that_sleep
from cxr_spark.training.rank.process import RankStart

#: Trains a network on two threads, and prints a digest of its weights.
TRAINING = """
import hashlib, torch
torch.set_num_threads(2)
torch.manual_seed(1)
network = torch.nn.Sequential(torch.nn.Conv2d(1, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.ReLU(),
                              torch.nn.AdaptiveAvgPool2d(4), torch.nn.Flatten(), torch.nn.Linear(128, 3))
optimizer = torch.optim.Adam(network.parameters(), 0.01)
for _ in range(4):
    optimizer.zero_grad()
    network(torch.randn(16, 1, 64, 64)).square().mean().backward()
    optimizer.step()
print(hashlib.sha256(b"".join(value.numpy().tobytes() for value in network.state_dict().values())).hexdigest())
"""


def weights_under(policy: dict[str, str]) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    command = [sys.executable, "-c", TRAINING]
    found = subprocess.run(command, env=environment | policy, capture_output=True, text=True, check=True, timeout=120)
    return found.stdout.strip()


def test_the_weights_of_a_training_stay_the_same_bit_for_bit() -> None:
    pytest.importorskip("torch")
    before = weights_under({})
    assert len(before) == len(hashlib.sha256().hexdigest())
    assert weights_under(threads_that_sleep({})) == before


def test_ranks_wait_asleep_unless_the_user_says_otherwise() -> None:
    start = RankStart("{}", 0, 1, 0, None)
    assert start.environment({}, 2)["OMP_WAIT_POLICY"] == "passive"
    assert start.environment({"OMP_WAIT_POLICY": "active"}, 2)["OMP_WAIT_POLICY"] == "active"


def test_workers_of_spark_wait_asleep_unless_the_user_says_otherwise() -> None:
    assert workers_that_sleep({}) == {"spark.executorEnv.OMP_WAIT_POLICY": "passive"}
    assert workers_that_sleep({"OMP_WAIT_POLICY": "active"}) == {"spark.executorEnv.OMP_WAIT_POLICY": "active"}


def test_spark_defaults_win(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"spark.executorEnv.OMP_WAIT_POLICY": "active"}
    monkeypatch.setattr(spark_module, "ensure_java", lambda version: Path("/no/java"))
    monkeypatch.setattr(spark_module.spark_files, "spark_defaults", lambda: given)
    assert spark_module._before_start("spark://host:7077", {})["spark.executorEnv.OMP_WAIT_POLICY"] == "active"
