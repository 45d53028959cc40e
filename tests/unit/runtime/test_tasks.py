"""What a task raised reaches the user as it was raised, whichever class Spark wraps it in."""

from __future__ import annotations

from typing import Any

import pytest
from py4j.protocol import Py4JError
from pyspark.errors import PythonException

from cxr_spark.errors import CxrError, DataError, RunError
from cxr_spark.outputs.run_status import tell
from cxr_spark.runtime import tasks

TRACE = (
    "An exception was thrown from the Python worker:\nTraceback (most recent call last):\n"
    '  File "worker.py", line 1, in process\n'
)


class Work:
    """Stands for an RDD whose tasks fail."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def collect(self) -> list[Any]:
        raise self._error


def as_py4j(trace: str) -> Exception:
    error: Exception = Py4JError(trace)
    error.java_exception = object()  # type: ignore[attr-defined]
    return error


@pytest.mark.parametrize("wrapped", [PythonException, as_py4j], ids=["since Spark 4.3", "before"])
@pytest.mark.parametrize(
    ("last", "kind", "told"),
    [
        ("OSError: injected", RunError, "preparing failed: OSError: injected"),
        (
            "ModuleNotFoundError: No module named 'pyarrow.lib'",
            RunError,
            "preparing failed: ModuleNotFoundError: No module named 'pyarrow.lib'; " + tasks.OTHER_PYTHON,
        ),
        ("cxr_spark.errors.DataError: no such column", DataError, "no such column"),
    ],
)
def test_what_a_task_raised_is_told(wrapped: Any, last: str, kind: type[CxrError], told: str) -> None:
    with pytest.raises(kind) as caught:
        tasks._collect(Work(wrapped(TRACE + last)), "preparing")
    assert str(caught.value) == told
    assert tell(wrapped(TRACE + last))[0] == kind.exit_status


def test_other_errors_pass() -> None:
    with pytest.raises(ZeroDivisionError):
        tasks._collect(Work(ZeroDivisionError()), "preparing")
