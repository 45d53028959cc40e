"""Workers whose own Python has nothing run a job from an archive of the environment."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from cxr_spark.storage import Store
from tests.cluster.support.archive import small_archive
from tests.cluster.support.hadoop import Hdfs
from tests.cluster.support.pipeline import Run
from tests.cluster.support.submit import Submitter
from tests.cluster.test_clusters import counts


def test_workers_without_packages(on_yarn: Submitter, nih: str, hdfs: Hdfs, reference: Run, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(bare)], check=True)
    missing = subprocess.run([bare / "bin" / "python", "-c", "import numpy"], capture_output=True, text=True)
    assert "No module named 'numpy'" in missing.stderr

    Store(hdfs.uri).upload(small_archive(tmp_path), "apps/env.tar.gz")
    conf = {key: value for key, value in on_yarn.conf.items() if not key.endswith("PYTHONPATH")}
    python = {"spark.pyspark.python": "./environment/bin/python", "spark.pyspark.driver.python": sys.executable}
    archive = {"spark.archives": f"{hdfs.uri}/apps/env.tar.gz#environment"}
    submitter = Submitter("yarn", on_yarn.head, tmp_path, {**conf, **python, **archive}, on_yarn.environment)
    # What the workers' own Python is, where nothing else is said.
    submitter = submitter.with_environment(PYSPARK_PYTHON=str(bare / "bin" / "python"))
    run = Run(submitter, nih, f"{hdfs.uri}/from-archive")
    run.prepare().ok()
    assert counts(run.json("prepared/manifest.json")) == counts(reference.json("prepared/manifest.json"))
