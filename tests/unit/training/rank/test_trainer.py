"""The options of the training loop, each against a plain loop of torch's own functions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cxr_spark.augmentation.kernels import imagenet_bgr
from cxr_spark.tables.schema import TRAIN
from cxr_spark.training.rank.sampler import Sampler
from cxr_spark.training.rank.shards import load_images, read_index
from tests.support.prepared_sets import write_prepared
from tests.support.tiny_training import SIZE, TinyNetwork, tiny_spec, train_tiny

BATCH, EPOCHS, RATE = 8, 2, 0.002
SGD = {"optimizer": "sgd", "momentum": 0.0, "learning_rate": RATE, "global_batch": BATCH, "epochs": EPOCHS}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_prepared(tmp_path_factory.mktemp("data") / "prepared", {"train": 24, "val": 9}, masked=0.1)


def batches(spec):
    """The pixels (N, 3, S, S) and labels (N, K) of every step."""
    dataset = spec.dataset()
    index = read_index(dataset, TRAIN)
    sampler = Sampler(spec.train, index.labels, 0, 1)
    shard = load_images(dataset, index, sampler.held(), SIZE)
    for epoch in range(spec.train.epochs):
        for chosen in np.split(sampler.images(epoch), sampler.steps):
            pixels = imagenet_bgr(torch.from_numpy(shard.pixels[chosen]), torch.channels_last)
            yield pixels, torch.from_numpy(shard.labels[chosen])


def plain_loop(spec, clip=None, after_step=lambda network: None):
    """A network trained by torch's own functions."""
    network = TinyNetwork(spec.model.architecture == "normed").to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=RATE)
    norms = []
    for pixels, labels in batches(spec):
        known = ~torch.isnan(labels)
        optimizer.zero_grad()
        torch.nn.functional.binary_cross_entropy_with_logits(network(pixels)[known], labels[known]).backward()
        norms.append(float(torch.nn.utils.clip_grad_norm_(network.parameters(), clip or float("inf"))))
        optimizer.step()
        after_step(network)
    return network, norms


def assert_same(found, network):
    for name, tensor in network.state_dict().items():
        torch.testing.assert_close(found[name], tensor, msg=lambda text, name=name: f"{name}: {text}")


def test_gradients_are_clipped_as_torch_does(data, tmp_path):
    spec = tiny_spec(data, tmp_path / "run", clip_norm=5.0, **SGD)
    expected, norms = plain_loop(spec, clip=5.0)
    assert min(norms) < 5.0 < max(norms)  # some steps are clipped, others are not
    assert_same(train_tiny(spec).network, expected)


def test_no_clipping_is_torchs_plain_loop(data, tmp_path):
    spec = tiny_spec(data, tmp_path / "run", **SGD)
    assert_same(train_tiny(spec).network, plain_loop(spec)[0])
