"""Imports openvino without its telemetry."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

from cxr_spark.errors import RunError

_TELEMETRY = "openvino_telemetry"


def openvino() -> Any:
    """Returns the package openvino.

    Importing it sends a message to its makers' analytics service and writes an identifier below the home folder, unless
    the user has opted out on that machine. openvino does neither where its package `openvino_telemetry` is not
    installed; here Python is told that it is not. A program that imported openvino before keeps what it chose.

    Raises:
        RunError: openvino is not installed here, or does not run on this machine.
    """
    sys.modules.setdefault(_TELEMETRY, None)  # type: ignore[arg-type]  # Python's own mark of what cannot be imported
    try:
        return import_module("openvino")
    except ImportError as error:
        raise RunError(
            f"openvino cannot be imported by {sys.executable} ({error}): pip install 'cxr-spark[openvino]' on every "
            "node, or score with --engine torch"
        ) from None
