"""The record that a failed rank leaves beside the checkpoints, and what others read of it."""

from __future__ import annotations

import errno
import json
import os
from typing import Any

from cxr_spark.errors import CxrError, DataError, DivergedError, RunError
from cxr_spark.storage.store import NotJsonError, Store
from cxr_spark.storage.typed_json import OutsideModel, validated

FAILURE = "failure.json"


class Failure(OutsideModel):
    """Why a rank failed.

    Attributes:
        kind: name of the error's class in `cxr_spark.errors`; any other value means `RunError`.
        message: the error in words.
        may_pass: whether a repetition may succeed.
    """

    kind: Any
    message: str
    may_pass: bool = True


def read_failure(store: Store) -> Failure | None:
    """Returns what a rank recorded; None where there is nothing, or where a rank died while it wrote it.

    Args:
        store: folder of the checkpoints.

    Raises:
        RunError: the storage cannot be read.
    """
    try:
        return validated(Failure, store.read_json(FAILURE), f"{store.uri_of(FAILURE)} is not the record of a failure")
    except (FileNotFoundError, NotJsonError, DataError):
        return None


def report_failure(store: Store, error: Exception) -> None:
    """Leaves an error where the driver finds it; the first one stays.

    Args:
        store: folder of the checkpoints.
        error: what ended the rank.
    """
    kind, message = type(error).__name__, str(error)
    if not isinstance(error, CxrError):
        kind, message = "RunError", f"{kind}: {message}"
    record = {"kind": kind, "message": message, "may_pass": may_pass(error)}
    store.create_exclusive(FAILURE, json.dumps(record).encode())


def may_pass(error: Exception) -> bool:
    """Returns whether a repetition may succeed, as after lost peers, a store that is away, or a full memory.

    A training repeats bit for bit, so a wrong value or a fault in the code would only come back. A full disk stays
    full.
    """
    if any(os.strerror(code) in str(error) for code in (errno.ENOSPC, errno.EDQUOT)):
        return False
    if isinstance(error, CxrError):
        return isinstance(error, RunError) and not isinstance(error, DivergedError)
    if isinstance(error, NotImplementedError | RecursionError):  # kinds of RuntimeError that only code can mend
        return False
    return isinstance(error, OSError | RuntimeError | MemoryError)


def refuse_to_repeat(store: Store) -> None:
    """Ends a rank that Spark started again after an error that no repetition mends.

    Spark repeats a failed barrier stage by itself, up to three times. The driver deletes the record when it starts the
    ranks anew.

    Args:
        store: folder of the checkpoints.

    Raises:
        CxrError: the error that is recorded.
    """
    told = read_failure(store)
    if told is not None and not told.may_pass:
        raise CxrError(told.message)
