"""The compiled loop against a slow, literal reading of the PNG specification."""

import numba
import numpy as np
import pytest

from cxr_spark.imaging.compiled import compiled
from cxr_spark.imaging.unfilter import unfilter

RNG = np.random.default_rng(2)


def paeth(left, up, corner):
    """The specification's own words (clause 9.4)."""
    p = left + up - corner
    distances = abs(p - left), abs(p - up), abs(p - corner)
    if distances[0] <= distances[1] and distances[0] <= distances[2]:
        return left
    return up if distances[1] <= distances[2] else corner


def literal(raw, rows, row_bytes, step):
    out = np.zeros((rows, row_bytes), dtype=int)
    for y in range(rows):
        kind, line = raw[y * (row_bytes + 1)], raw[y * (row_bytes + 1) + 1 :][:row_bytes]
        for x in range(row_bytes):
            left = out[y, x - step] if x >= step else 0
            up = out[y - 1, x] if y else 0
            corner = out[y - 1, x - step] if y and x >= step else 0
            guess = [0, left, up, (left + up) // 2, paeth(left, up, corner)][kind]
            out[y, x] = (int(line[x]) + guess) % 256
    return out


@pytest.mark.parametrize("step", [1, 2, 3, 4, 6, 8])
def test_equals_the_specification(step):
    rows, row_bytes = 40, 8 * step
    raw = RNG.integers(0, 256, (rows, row_bytes + 1), dtype=np.uint8)
    raw[:, 0] = RNG.integers(0, 5, rows)
    out, bad = unfilter(raw.ravel(), rows, row_bytes, step)
    assert bad == -1
    assert np.array_equal(out, literal(raw.ravel(), rows, row_bytes, step))


def test_short_paeth_formula_for_all_that_can_occur():
    """The branch-free form in the loop: every left and up against corners in steps of 5 and both ends."""
    values = np.array([*range(0, 256, 5), 1, 254])
    for corner in values.tolist():
        for up in values.tolist():
            line = np.arange(256, dtype=np.uint8)
            # Row 1 is (corner, up); row 2 begins with `left`, so that its second pixel is guessed from all three.
            guesses = [paeth(int(left), up, corner) for left in line]
            for left in line[::17].tolist():
                first = (left - corner) % 256
                raw = np.array([0, corner, up, 4, first, 0], dtype=np.uint8)
                out, _ = unfilter(raw, 2, 2, 1)
                assert out[1].tolist() == [left, guesses[left]]


def test_row_of_an_unknown_filter_is_named():
    raw = np.array([0, 1, 2, 7, 1, 2], dtype=np.uint8)
    assert unfilter(raw, 2, 2, 1)[1] == 1


def test_install_that_cannot_be_written_to_compiles_in_memory(monkeypatch):
    """numba refuses to cache where it finds no folder to write to."""
    asked = []
    real = numba.njit

    def njit(**options):
        asked.append(options)
        if options.get("cache"):
            raise RuntimeError("cannot cache function: no locator available")
        return real(**options)

    monkeypatch.setattr(numba, "njit", njit)

    def double(x):
        return 2 * x

    assert compiled(double)(21) == 42
    assert [bool(options.get("cache")) for options in asked] == [True, False]
