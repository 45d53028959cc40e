"""How processes ended."""

from __future__ import annotations

from cxr_spark.runtime.processes import how_it_ended


def test_how_a_process_ended():
    assert how_it_ended(3) == "ended with exit status 3"
    assert how_it_ended(-15) == "was killed by signal 15 (SIGTERM)"
    assert how_it_ended(-99) == "was killed by signal 99"
