"""Parts that Spark's tasks have done are counted while others still run."""

from __future__ import annotations

import io
import logging
import sys
import time

from cxr_spark.runtime import progress
from cxr_spark.runtime.tasks import run_parts


def test_parts_that_are_done_are_counted_while_others_run(spark, caplog, monkeypatch):
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.1)
    monkeypatch.setattr(sys, "stderr", io.StringIO())

    def work(parts):
        for part in parts:
            time.sleep(1.5 if part == 2 else 0)
            yield part * 10

    with caplog.at_level(logging.INFO, "cxr_spark.runtime.progress"):
        assert run_parts(spark, [0, 1, 2], work, "counting") == [0, 10, 20]
    assert "counting: 2 of 3 parts done" in caplog.text
