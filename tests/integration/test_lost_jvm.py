"""A JVM that runs out of memory, or is killed: the job ends, with one line that says what to do."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil

from tests.conftest import ROOT
from tests.support.prepared_sets import write_prepared
from tests.support.small_model import write_model

#: Asks for 4 GiB at once in a thread that is none of Spark's; what follows would otherwise wait for ever.
_ASKS_FOR_TOO_MUCH = """
from cxr_spark.runtime.session import session
spark = session("too much", "local[1]", {"spark.driver.memory": "512m"})
jvm = spark.sparkContext._jvm
print("asks", flush=True)
try:
    jvm.java.lang.reflect.Array.newInstance(jvm.java.lang.Long.TYPE, 2**29)
except Exception:
    pass
print("there" if spark.range(3).count() == 3 else "")
"""


def test_a_jvm_without_memory_ends() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _ASKS_FOR_TOO_MUCH], capture_output=True, text=True, cwd=ROOT, timeout=300
    )
    assert done.stdout.startswith("asks")
    assert "Terminating due to java.lang.OutOfMemoryError" in done.stdout + done.stderr
    assert "there" not in done.stdout


def test_a_killed_jvm_is_told(tmp_path: Path) -> None:
    write_model(tmp_path / "model")
    data = write_prepared(tmp_path / "prepared", {"train": 64, "val": 16, "test": 16}, size=48)
    paths = ["--data", str(data), "--model", str(tmp_path / "model"), "--out", str(tmp_path / "out")]
    process = subprocess.Popen(
        [sys.executable, "-m", "cxr_spark.commands.main", "score", *paths], stderr=subprocess.PIPE, text=True, cwd=ROOT
    )
    java = None
    deadline = time.monotonic() + 200
    while java is None and time.monotonic() < deadline and process.poll() is None:
        java = _working_java(process.pid)
    assert java is not None
    java.kill()
    _, said = process.communicate(timeout=200)
    assert process.returncode == 4, said
    told = [line for line in said.splitlines() if line.startswith("cxr-spark score: ")]
    assert len(told) == 1, said[-3000:]
    assert "Spark's driver is gone" in told[0]
    assert "spark.driver.memory" in told[0]


def _working_java(pid: int) -> psutil.Process | None:
    """Returns the JVM of a job whose tasks have begun: it has a Python of its own by then."""
    with suppress(psutil.NoSuchProcess):
        for one in psutil.Process(pid).children(recursive=True):
            if one.name() == "java" and any("python" in child.name() for child in one.children()):
                return one
    return None
