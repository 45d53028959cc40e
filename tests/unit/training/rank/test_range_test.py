"""The steps of a range test, against a plain loop of torch's own functions, on one rank and on two."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from cxr_spark.training.checkpoints import Checkpoint, Progress
from cxr_spark.training.range_test.plan import RangePlan
from tests.support.prepared_sets import write_prepared
from tests.support.tiny_training import TinyNetwork, tiny_spec, tiny_trainer
from tests.unit.training.rank.test_trainer import SGD, batches

STEPS = 12


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_prepared(tmp_path_factory.mktemp("data") / "prepared", {"train": 24, "val": 9}, masked=0.1)


def by_torch(spec, rates):
    """The losses of torch's own steps with these rates; the images of the training's epochs, again and again."""
    network = TinyNetwork(normed=False).to(memory_format=torch.channels_last).train()
    losses = []
    for (pixels, labels), rate in zip(itertools.cycle(list(batches(spec))), rates, strict=False):
        known = ~torch.isnan(labels)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(network(pixels)[known], labels[known])
        network.zero_grad()
        loss.backward()
        with torch.no_grad():
            for weights in network.parameters():
                weights -= rate * weights.grad
        losses.append(loss.item())
    return losses


def try_rates(spec):
    start = Checkpoint(Progress(), TinyNetwork(normed=False).state_dict())
    return tiny_trainer(spec).try_rates(start, RangePlan(steps=STEPS))


@pytest.mark.parametrize("balancing", ["none", "upsample"])
@pytest.mark.parametrize("epochs", [1, 4])  # of three steps and more: the test is as long as four, or longer
def test_losses_are_those_of_a_plain_loop_with_the_same_rates(data, tmp_path, balancing, epochs):
    spec = tiny_spec(data, tmp_path / "run", **{**SGD, "epochs": epochs, "balancing": balancing})
    found = try_rates(spec)
    assert [each.learning_rate for each in found] == pytest.approx(np.geomspace(1e-7, 1, STEPS)[: len(found)].tolist())
    expected = by_torch(spec, [each.learning_rate for each in found])
    np.testing.assert_allclose([each.loss for each in found], expected, rtol=1e-4)


def test_a_diverged_loss_ends_the_test_and_is_no_result(data, tmp_path):
    found = try_rates(tiny_spec(data, tmp_path / "run", **{**SGD, "learning_rate": 1.0, "momentum": 0.99}))
    assert all(np.isfinite([each.loss for each in found]))
    assert not (tmp_path / "run" / "history.json").exists()
