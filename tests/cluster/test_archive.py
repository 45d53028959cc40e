"""Workers whose own Python has nothing run a job from an archive of the environment."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from cxr_spark.storage.store import Store
from tests.cluster.support.archive import small_archive
from tests.cluster.support.hadoop import Hdfs
from tests.cluster.support.pipeline import Run, check_prepared
from tests.cluster.support.submit import Submitter


def test_workers_without_packages(on_yarn: Submitter, nih: str, hdfs: Hdfs, reference: Run, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(bare)], check=True)
    missing = subprocess.run([bare / "bin" / "python", "-c", "import numpy"], capture_output=True, text=True)
    assert "No module named 'numpy'" in missing.stderr

    Store(hdfs.uri).write_bytes("apps/env.tar.gz", small_archive(tmp_path).read_bytes())
    submitter = on_yarn.without_conf("spark.executorEnv.PYTHONPATH", "spark.yarn.appMasterEnv.PYTHONPATH").with_conf({
        "spark.archives": f"{hdfs.uri}/apps/env.tar.gz#environment",
        "spark.pyspark.python": "./environment/bin/python",
        "spark.pyspark.driver.python": sys.executable,
    })  # fmt: skip
    # What the workers' own Python is, where nothing else is said.
    submitter = submitter.with_environment(PYSPARK_PYTHON=str(bare / "bin" / "python"))
    run = Run(submitter, nih, f"{hdfs.uri}/from-archive")
    run.prepare().ok()
    check_prepared(run, reference)
