"""Which images ranks train on: the same draws whatever the number of ranks."""

from __future__ import annotations

import numpy as np
import pytest

from cxr_spark.config import TrainSettings
from cxr_spark.training import balance
from cxr_spark.training.rank.sampler import Sampler

#: Sorted by class, as the images of class folders are: the second class is the rare one.
LABELS = np.repeat(np.eye(2, dtype=np.float32), [900, 100], axis=0)


def upsampled(**more):
    return TrainSettings(balancing="upsample", global_batch=20, **more)


def of_all_ranks(settings, world, epoch, labels=LABELS):
    """Returns the images of an epoch, (steps, global batch)."""
    samplers = [Sampler(settings, labels, rank, world) for rank in range(world)]
    parts = [s.images(epoch).reshape(s.steps, settings.global_batch // world) for s in samplers]
    return np.concatenate(parts, axis=1)


@pytest.mark.parametrize("world", [2, 4, 5])
def test_up_sampling_draws_the_same_images_whatever_the_number_of_ranks(world):
    for epoch in (0, 3):
        np.testing.assert_array_equal(of_all_ranks(upsampled(), world, epoch), of_all_ranks(upsampled(), 1, epoch))
    assert (of_all_ranks(upsampled(), world, 0) != of_all_ranks(upsampled(), world, 1)).any()


@pytest.mark.parametrize("world", [1, 2, 4])
def test_every_rank_sees_the_rare_class_as_often_as_the_other(world):
    for rank in range(world):
        sampler = Sampler(upsampled(), LABELS, rank, world)
        drawn = np.concatenate([LABELS[sampler.images(epoch)] for epoch in range(20)])
        assert drawn[:, 1].mean() == pytest.approx(0.5, abs=0.02)


def test_the_log_says_what_an_epoch_draws():
    settings = TrainSettings(balancing="upsample", global_batch=300)
    told = balance.describe(settings, "multi_label", LABELS, ["NORMAL", "PNEUMONIA"])
    drawn = np.concatenate([LABELS[of_all_ranks(settings, 2, epoch).ravel()] for epoch in range(50)])
    assert "an epoch draws 1200 images" in told
    assert len(drawn) == 50 * 1200
    assert told.endswith("NORMAL 900 to 500, PNEUMONIA 100 to 500")
    np.testing.assert_allclose(drawn.mean(axis=0), [0.5, 0.5], atol=0.01)


@pytest.mark.parametrize("balancing", ["none", "upsample"])
@pytest.mark.parametrize("world", [1, 3])
def test_a_rank_holds_what_it_needs_and_no_more(balancing, world):
    settings = TrainSettings(balancing=balancing, global_batch=30, epochs=2)
    for rank in range(world):
        sampler = Sampler(settings, LABELS, rank, world)
        needed = np.unique(np.concatenate([sampler.images(epoch) for epoch in range(2)]))
        np.testing.assert_array_equal(sampler.held(), needed)


def test_without_balancing_every_image_comes_once_and_fills_the_last_batch():
    labels = np.zeros((50, 1), np.float32)
    settings = TrainSettings(global_batch=12)
    for world in (1, 2, 3):
        images = of_all_ranks(settings, world, 0, labels)
        assert images.shape == (5, 12)
        assert set(images.ravel()) == set(range(50))
