"""Workers whose own Python has nothing run jobs from an archive of the environment."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

from cxr_spark.storage.store import Store
from tests.cluster.support.archive import TO_PREPARE, TO_SCORE, small_archive
from tests.cluster.support.files import score_rows
from tests.cluster.support.hadoop import Hdfs
from tests.cluster.support.pipeline import Run, check_prepared
from tests.cluster.support.submit import Submitter


def with_archive(on_yarn: Submitter, archive: Path, hdfs: Hdfs, folder: Path) -> Submitter:
    """Returns a submitter whose workers get their Python packages from an archive; their own Python has none."""
    bare = folder / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(bare)], check=True)
    missing = subprocess.run([bare / "bin" / "python", "-c", "import numpy"], capture_output=True, text=True)
    assert "No module named 'numpy'" in missing.stderr
    Store(hdfs.uri).write_bytes(f"apps/{folder.name}.tar.gz", archive.read_bytes())
    submitter = on_yarn.without_conf("spark.executorEnv.PYTHONPATH", "spark.yarn.appMasterEnv.PYTHONPATH").with_conf({
        "spark.archives": f"{hdfs.uri}/apps/{folder.name}.tar.gz#environment",
        "spark.pyspark.python": "./environment/bin/python",
        "spark.pyspark.driver.python": sys.executable,
    })  # fmt: skip
    # What the workers' own Python is, where nothing else is said.
    return submitter.with_environment(PYSPARK_PYTHON=str(bare / "bin" / "python"))


def test_workers_without_packages(on_yarn: Submitter, nih: str, hdfs: Hdfs, reference: Run, tmp_path: Path) -> None:
    submitter = with_archive(on_yarn, small_archive(tmp_path, TO_PREPARE), hdfs, tmp_path)
    run = Run(submitter, nih, f"{hdfs.uri}/from-archive")
    run.prepare().ok()
    check_prepared(run, reference)


def test_openvino_scores_on_workers_without_torch(
    on_yarn: Submitter, hdfs: Hdfs, reference: Run, tmp_path: Path
) -> None:
    pytest.importorskip("openvino")
    archive = small_archive(tmp_path, TO_SCORE)
    with tarfile.open(archive) as packed:
        assert not [name for name in packed.getnames() if "/site-packages/torch" in name]
    submitter = with_archive(on_yarn, archive, hdfs, tmp_path)
    out = f"{hdfs.uri}/scores-of-openvino"
    given = ["--data", f"{reference.root}/prepared", "--model", f"{reference.root}/run/model", "--out", out]
    submitter.run("score", *given, "--engine", "openvino").ok()
    found, expected = (score_rows(folder) for folder in (out, f"{reference.root}/scores"))
    assert [row["image_index"] for row in found] == [row["image_index"] for row in expected]
    assert {(row["engine"], row["precision"]) for row in found} == {("openvino", "fp32")}
    probabilities = (np.array([row["probabilities"] for row in rows]) for rows in (found, expected))
    np.testing.assert_allclose(*probabilities, rtol=0, atol=1e-4)
