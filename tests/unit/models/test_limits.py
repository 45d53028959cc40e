"""What the process that reads a file of weights may take."""

from __future__ import annotations

from cxr_spark.models.limits import reading_limits


def test_limits_follow_the_size_of_the_file() -> None:
    assert reading_limits(0).memory < 1 << 29
    assert reading_limits(600_000_000).memory > 3 * 600_000_000  # VGG-16: the file, its arrays, and these once more
    assert reading_limits(2 << 30).memory < 9 << 30
    assert [reading_limits(size).file for size in (0, 2 << 30)] == [320 << 20, (2 << 30) + (256 << 20)]
