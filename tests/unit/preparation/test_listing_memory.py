"""The memory of the driver for a simulated listing; `tests/benchmarks/listing.py` measures it for millions of files."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

MOST_BYTES_A_FILE = 2000


@pytest.mark.parametrize("what", ["score", "headers"])
def test_a_listed_file_takes_less_than_two_kilobytes_of_the_driver(what: str) -> None:
    command = [sys.executable, "-m", "tests.benchmarks.listing", what, "150000"]
    told = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert told["files"] == 150_000
    assert 100 < told["bytes_a_file"] < MOST_BYTES_A_FILE
    assert 50 < told["sent_bytes_a_file"] < 300
