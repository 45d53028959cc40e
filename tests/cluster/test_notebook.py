"""A notebook's own session on YARN: the jobs as functions in the process that is the driver."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.cluster.support.hadoop import Hdfs
from tests.cluster.support.pipeline import Run, check_prepared
from tests.cluster.support.submit import Job, Submitter
from tests.conftest import ROOT

#: What a notebook's cells would hold; the arguments are the session's settings and those of the functions, as JSON.
CELLS = """
import json, sys
from pyspark.sql import SparkSession
import cxr_spark

settings, prepare, score = map(json.loads, sys.argv[1:])
spark = SparkSession.builder.master("yarn").config(map=settings).getOrCreate()
data = cxr_spark.prepare(**prepare)
scores = cxr_spark.score(**score)
print("told:", json.dumps({"splits": data.splits, "images": scores.images, "out": scores.out}))
print("still:", spark.range(10).count())
spark.stop()
"""


def test_a_notebook_on_yarn(on_yarn: Submitter, nih: str, hdfs: Hdfs, reference: Run, tmp_path: Path) -> None:
    run = Run(on_yarn, nih, f"{hdfs.uri}/notebook")
    prepare = {"images": nih, "labels": f"{nih}/Data_Entry_2017.csv", "out": f"{run.root}/prepared", "size": 32}
    score = {"data": f"{run.root}/prepared", "model": f"{reference.root}/run/model", "out": f"{run.root}/scores"}
    cells = tmp_path / "cells.py"
    cells.write_text(CELLS)
    line = [sys.executable, str(cells), *map(json.dumps, (dict(on_yarn.conf), prepare, score))]
    variables = {**on_yarn.variables(), "PYTHONPATH": str(ROOT)}
    ended = Job(on_yarn.head.command(*line), tmp_path, variables).finish().ok()
    told = json.loads(next(row for row in ended.output.splitlines() if row.startswith("told:"))[5:])
    assert told["images"] == told["splits"]["test"]
    assert told["out"] == score["out"]
    assert "still: 10" in ended.output
    check_prepared(run, reference)
