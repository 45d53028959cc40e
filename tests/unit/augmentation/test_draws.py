import numpy as np
from scipy import stats

from cxr_spark.augmentation.draws import image_key, image_keys, uniforms

KEYS = image_keys(f"{i:08d}_{i % 7:03d}.png" for i in range(20_000))


def test_an_image_keeps_its_key_for_ever():
    # By hashlib elsewhere: int.from_bytes(blake2b(b"00000001_000.png", digest_size=8).digest(), "little").
    assert image_key("00000001_000.png") == 0x7E300FCDAD569250
    assert image_keys(["a", "b"]).dtype == np.uint64
    assert image_keys([]).shape == (0,)
    assert len(np.unique(KEYS)) == len(KEYS)


def test_a_draw_does_not_depend_on_batch_or_order():
    whole = uniforms(KEYS, 3, seed=5, epoch=2, stage="flip")
    order = np.random.default_rng(0).permutation(len(KEYS))
    parts = [uniforms(part, 3, seed=5, epoch=2, stage="flip") for part in np.array_split(KEYS[order], 17)]
    np.testing.assert_array_equal(np.concatenate(parts), whole[order])


def test_draws_are_uniform():
    draws = uniforms(KEYS, 4, seed=0, epoch=0, stage="x")
    assert draws.min() >= 0
    assert draws.max() < 1
    for column in draws.T:
        assert stats.kstest(column, "uniform").pvalue > 1e-3
    # Serial pairs fill the unit square evenly.
    counts, *_ = np.histogram2d(draws[:-1, 0], draws[1:, 0], bins=10)
    assert stats.chisquare(counts.ravel()).pvalue > 1e-3


def test_seeds_epochs_stages_counters_and_images_are_independent():
    base = {"seed": 0, "epoch": 0, "stage": "x"}
    reference = uniforms(KEYS, 2, **base)
    others = [reference[:, 1]]
    for change in ({"seed": 1}, {"seed": -1}, {"epoch": 1}, {"seed": 1, "epoch": 1}, {"stage": "y"}):
        others.append(uniforms(KEYS, 1, **{**base, **change})[:, 0])
    others.append(uniforms(KEYS + np.uint64(1), 1, **base)[:, 0])
    table = np.corrcoef([reference[:, 0], *others])
    off_diagonal = table[~np.eye(len(table), dtype=bool)]
    # The standard error of a correlation over 20,000 images is 0.007; 36 pairs.
    assert np.abs(off_diagonal).max() < 0.03


def test_seed_and_epoch_are_not_interchangeable():
    a = uniforms(KEYS[:100], 1, seed=1, epoch=2, stage="x")
    b = uniforms(KEYS[:100], 1, seed=2, epoch=1, stage="x")
    assert not np.isin(a, b).any()
