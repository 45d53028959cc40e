"""SplitMix64 against the sequence that its authors' reference code gives for the seed 1234567."""

import numpy as np

from cxr_spark.augmentation.splitmix import GOLDEN_GAMMA, mix

REFERENCE = [
    6457827717110365317,
    3203168211198807973,
    9817491932198370423,
    4593380528125082431,
    16408922859458223821,
]


def test_the_sequence_is_the_published_one():
    states = np.uint64(1234567) + np.arange(1, 6, dtype=np.uint64) * GOLDEN_GAMMA
    assert mix(states).tolist() == REFERENCE


def test_mixing_is_one_to_one():
    assert np.unique(mix(np.arange(100_000, dtype=np.uint64))).size == 100_000
