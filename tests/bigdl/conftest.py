"""The BigDL backend in a session of its own: a JVM must be started for it, so these tests run in their own process.

`make unit` runs them once for each engine: BIGDL_ENGINE=mklblas or mkldnn.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from cxr_spark.bigdl.engine.installation import check_installation
from cxr_spark.bigdl.engine.jvm import Bridge
from cxr_spark.bigdl.engine.session import Cluster, session_settings, start_engine
from cxr_spark.errors import UsageError
from cxr_spark.runtime.session import session

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ENGINE = os.environ.get("BIGDL_ENGINE", "mklblas")


@pytest.fixture(scope="session")
def engine() -> str:
    """The engine of this process."""
    return ENGINE


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    """A session with one core: one replica of the network sees the whole batch, as torch does."""
    try:
        check_installation()
    except UsageError as error:
        pytest.skip(str(error))
    os.environ["PYSPARK_PYTHON"] = sys.executable
    given = {"spark.driver.memory": "3g", "spark.ui.enabled": "false"}
    made = session("cxr-spark-bigdl-tests", "local[1]", session_settings(ENGINE, given))
    yield made
    made.stop()


@pytest.fixture(scope="session")
def cluster(spark: SparkSession) -> Cluster:
    """BigDL's engine, started."""
    return start_engine(spark, ENGINE)


@pytest.fixture(autouse=True)
def _freed() -> Iterator[None]:
    """Lets go of a test's networks: Python's objects hold those of the JVM, in circles."""
    yield
    gc.collect()


@pytest.fixture(scope="session")
def bridge(spark: SparkSession, cluster: Cluster) -> Bridge:
    return Bridge(spark.sparkContext)
