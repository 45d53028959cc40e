"""The options of the training loop, each against a plain loop of torch's own functions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision.transforms import v2

from cxr_spark.augmentation.kernels import imagenet_bgr
from cxr_spark.tables.schema import TRAIN, VALIDATION
from cxr_spark.training.checkpoints import Checkpoints
from cxr_spark.training.rank.mixup import draw_weight
from cxr_spark.training.rank.sampler import Sampler
from cxr_spark.training.rank.shards import load_images, load_shard, read_index
from cxr_spark.training.record import Record
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
        for images in np.split(sampler.images(epoch), sampler.steps):
            chosen = np.searchsorted(sampler.held(), images)  # where these images are among those that are held
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


def test_the_average_is_that_of_all_steps_with_its_batch_norm(data, tmp_path):
    """Against float64 numpy: decays of 1/10, 2/11, ..., and never more than 0.3."""
    spec = tiny_spec(data, tmp_path / "run", normed=True, ema_decay=0.3, **SGD)
    average = {name: tensor.double().numpy() for name, tensor in TinyNetwork(normed=True).state_dict().items()}
    steps = iter(range(100))

    def follow(network):
        step = next(steps)
        decay = min(0.3, (1 + step) / (10 + step))
        for name, tensor in network.state_dict().items():
            average[name] = decay * average[name] + (1 - decay) * tensor.double().numpy()

    network, _ = plain_loop(spec, after_step=follow)
    last = train_tiny(spec)
    assert_same(last.network, network)  # the training itself goes on as without an average
    assert last.average.keys() == last.network.keys()
    assert next(steps) == last.progress.global_step == 6
    for name, tensor in last.average.items():
        if name == "norm.num_batches_tracked":
            assert tensor == last.network[name] == 6
        else:
            np.testing.assert_allclose(tensor.numpy(), average[name], rtol=1e-4, atol=1e-6, err_msg=name)
    assert not torch.equal(last.average["norm.running_var"], last.network["norm.running_var"])


def test_the_average_is_what_is_validated(data, tmp_path):
    spec = tiny_spec(data, tmp_path / "run", normed=True, ema_decay=0.99, **SGD)
    last = train_tiny(spec)
    dataset = spec.dataset()
    held_out = load_shard(dataset, index := read_index(dataset, VALIDATION), 0, len(index), SIZE)
    losses = []
    for state in (last.average, last.network):
        network = TinyNetwork(normed=True).eval()
        network.load_state_dict(state)
        logits = network(imagenet_bgr(torch.from_numpy(held_out.pixels.copy()), torch.channels_last)).detach()
        labels = torch.from_numpy(held_out.labels.copy())
        known = ~torch.isnan(labels)
        losses.append(float(torch.nn.functional.binary_cross_entropy_with_logits(logits[known], labels[known])))
    assert last.progress.history[-1]["val_loss"] == pytest.approx(losses[0], rel=1e-5)
    assert losses[0] != pytest.approx(losses[1], rel=1e-3)


@pytest.mark.parametrize("parts", [2, 4, 8])
def test_a_step_in_parts_is_the_step_of_the_whole_batch(data, tmp_path, parts):
    """Some labels are unknown, so that the parts have different numbers of them."""
    spec = tiny_spec(data, tmp_path / "run", accumulate=parts, clip_norm=5.0, **SGD)
    assert_same(train_tiny(spec).network, plain_loop(spec, clip=5.0)[0])
    whole = train_tiny(tiny_spec(data, tmp_path / "whole", clip_norm=5.0, **SGD))
    found = Checkpoints(spec.checkpoints).load()
    for ours, theirs in zip(found.progress.history, whole.progress.history, strict=True):
        assert ours["train_loss"] == pytest.approx(theirs["train_loss"], rel=1e-5)
        assert ours["val_loss"] == pytest.approx(theirs["val_loss"], rel=1e-5)


def test_no_more_images_go_through_the_network_at_once_than_a_part_has(data, tmp_path, monkeypatch):
    sizes, forward = set(), TinyNetwork.forward

    def counted(self, images):
        sizes.add(len(images))
        return forward(self, images)

    monkeypatch.setattr(TinyNetwork, "forward", counted)
    train_tiny(tiny_spec(data, tmp_path / "run", accumulate=4, **SGD))
    assert max(sizes) == BATCH // 4


def test_blended_images_and_labels_are_those_of_torchvision(tmp_path):
    """No label is unknown here, since torchvision's MixUp cannot do with those."""
    data = write_prepared(tmp_path / "prepared", {"train": 24, "val": 9})
    spec = tiny_spec(data, tmp_path / "run", mixup=0.7, **SGD)
    network = TinyNetwork(normed=False).to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=RATE)
    for step, (pixels, labels) in enumerate(batches(spec)):
        mix = v2.MixUp(alpha=0.7, num_classes=labels.shape[1])
        part = draw_weight(0.7, seed=spec.train.seed, rank=0, step=step, micro_batch=1)
        blended, target = mix.transform(pixels, {"lam": part, "labels": None, "batch_size": BATCH}), labels
        target = mix.transform(labels, {"lam": part, "labels": labels, "batch_size": BATCH})
        optimizer.zero_grad()
        torch.nn.functional.binary_cross_entropy_with_logits(network(blended), target).backward()
        optimizer.step()
    assert_same(train_tiny(spec).network, network)


def test_an_unknown_label_counts_in_no_pair(data, tmp_path):
    """Parts of a blended loss add up to the number of known labels, whatever the pairs are."""
    spec = tiny_spec(data, tmp_path / "run", mixup=0.7, **SGD)
    network = TinyNetwork(normed=False).to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=RATE)
    cost = torch.nn.functional.binary_cross_entropy_with_logits
    for step, (pixels, labels) in enumerate(batches(spec)):
        part = draw_weight(0.7, seed=spec.train.seed, rank=0, step=step, micro_batch=1)
        logits = network(part * pixels + (1 - part) * torch.cat([pixels[-1:], pixels[:-1]]))
        optimizer.zero_grad()
        for weight, target in ((part, labels), (1 - part, torch.cat([labels[-1:], labels[:-1]]))):
            known = ~torch.isnan(target)
            (weight * cost(logits[known], target[known])).backward(retain_graph=True)
        optimizer.step()
    assert_same(train_tiny(spec).network, network)


def test_the_parts_of_pairs_are_those_of_a_beta_distribution():
    draws = np.array([draw_weight(0.4, seed=1, rank=0, step=step, micro_batch=1) for step in range(4000)])
    assert draws.mean() == pytest.approx(0.5, abs=0.03)
    assert draws.var() == pytest.approx(1 / (4 * (2 * 0.4 + 1)), abs=0.01)


class KilledError(Exception):
    """Stands for a process that ends in the middle of an epoch."""


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"ema_decay": 0.9},
        {"ema_decay": 0.9, "accumulate": 2},
        {"mixup": 0.4, "accumulate": 2, "layer_decay": 0.5, "schedule": {"kind": "one_cycle"}},
    ],
    ids=str,
)
def test_a_training_that_stopped_within_an_epoch_goes_on_bit_for_bit(data, tmp_path, monkeypatch, options):
    run = {"normed": True, "checkpoint_every_steps": 2, **SGD, "optimizer": "adam", **options}
    whole = train_tiny(tiny_spec(data, tmp_path / "whole", **run))
    stopped, save = tiny_spec(data, tmp_path / "stopped", **run), Record.save

    def save_and_stop(self, state):
        save(self, state)
        raise KilledError

    with monkeypatch.context() as patched:
        patched.setattr(Record, "save", save_and_stop)
        with pytest.raises(KilledError):
            train_tiny(stopped)
    assert Checkpoints(stopped.checkpoints).load().progress.global_step == 2
    resumed = train_tiny(stopped)
    for part in ("network", "optimizer", "average"):
        ours, theirs = getattr(resumed, part), getattr(whole, part)
        assert ours.keys() == theirs.keys()
        assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []
    assert bool(whole.average) is ("ema_decay" in options)
