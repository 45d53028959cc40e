"""Finds settings that Spark cannot start with before a JVM is started, and tells why one did not start."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from cxr_spark.errors import RunError, UsageError
from cxr_spark.runtime.tasks import innermost_cause, is_of_spark, java_trace

DRIVER_MEMORY = "spark.driver.memory"
_MASTER = re.compile(r"local(\[(\*|[0-9]+)(,\s*[0-9]+)?\]|-cluster\[.*\])?|[a-z][a-z0-9+.-]*://.+|yarn")
_MEMORY = re.compile(r"([0-9]+)([kmgt]?)", re.IGNORECASE)
_BYTES = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
#: Spark itself refuses a heap below one and a half times the 300 MiB that it keeps for itself.
_LEAST_MEMORY = 471_859_200
#: Prints the version of a Python, and what it lacks of that which every task imports.
_LOOK = (
    "import importlib.util, sys; print('%d.%d' % sys.version_info[:2], "
    "*[name for name in ('numpy', 'pandas', 'pyarrow') if importlib.util.find_spec(name) is None])"
)
#: What Java and Python put before the text of an error: the names of classes.
_CLASS = re.compile(r"^(?:[\w.$]+(?:Exception|Error): )+")


def check_before_start(master: str, conf: Mapping[str, str], environ: Mapping[str, str]) -> None:
    """Checks settings with which the JVM would fail to start, with a trace or after a minute.

    Args:
        master: Spark's master URL.
        conf: the Spark settings of the user.
        environ: the environment.

    Raises:
        UsageError: a value cannot work; the message quotes it, says what was expected, and how to mend it.
    """
    if not _MASTER.fullmatch(master):
        raise UsageError(f"--master {master!r}: expected local[*], local[N], yarn, spark://HOST:PORT or k8s://URL")
    memory = conf.get(DRIVER_MEMORY)
    if memory is not None:
        _check_memory(memory)
    python = conf.get("spark.pyspark.python") or environ.get("PYSPARK_PYTHON")
    if python and master.startswith("local"):
        source = "--spark spark.pyspark.python" if conf.get("spark.pyspark.python") else "PYSPARK_PYTHON"
        check_worker_python(
            python, f"{source}={python}", "leave it out, and the Python that runs this program is taken"
        )


def check_worker_python(python: str, said: str, remedy: str) -> None:
    """Checks that a Python of this machine can be that of Spark's workers.

    Args:
        python: the program, as Spark is told it.
        said: how the user knows it, for messages.
        remedy: what to do about it, for messages.

    Raises:
        UsageError: there is no such program, it is of another version, or it lacks what every task imports.
    """
    program = shutil.which(python)
    if program is None:
        raise UsageError(f"{said}: no such program, expected a Python with this package: {remedy}")
    if Path(program).parent == Path(sys.executable).parent:  # the very environment that runs this
        return
    try:
        found = subprocess.run([program, "-c", _LOOK], capture_output=True, text=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        raise UsageError(f"{said}: it does not run as a Python ({error}): {remedy}") from error
    version, *missing = found.stdout.split()
    ours = "{}.{}".format(*sys.version_info[:2])
    if version != ours:
        raise UsageError(f"{said}: it is Python {version}, expected {ours} as here: {remedy}")
    if missing:
        raise UsageError(f"{said}: it has no {', no '.join(missing)}, expected a Python with this package: {remedy}")


def _check_memory(text: str) -> None:
    found = _MEMORY.fullmatch(text.strip())
    if found is None:
        raise UsageError(f"{DRIVER_MEMORY}={text}: expected a number with a unit, such as --spark {DRIVER_MEMORY}=4g")
    if int(found[1]) * _BYTES[found[2].lower()] < _LEAST_MEMORY:
        raise UsageError(
            f"{DRIVER_MEMORY}={text}: Spark does not start with less than {_LEAST_MEMORY >> 20} MiB, give more: "
            f"--spark {DRIVER_MEMORY}=2g"
        )


def not_started(error: Exception) -> Exception:
    """Returns the error that tells in one line why Spark did not start; an error that is not Spark's as it is."""
    if not is_of_spark(error):
        return error
    trace = java_trace(error)
    if "JAVA_GATEWAY_EXITED" in trace:
        return RunError(
            f"Java did not start (JAVA_HOME={os.environ.get('JAVA_HOME')}): what it said stands above; check the "
            f"settings of --spark for Java's options and {DRIVER_MEMORY}"
        )
    cause = _CLASS.sub("", innermost_cause(trace))
    return RunError(f"Spark did not start: {cause.rstrip('.')}; check --master and the settings of --spark")
