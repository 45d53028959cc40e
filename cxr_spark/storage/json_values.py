"""Values of any library as JSON has them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from cxr_spark.errors import RunError


class NotJsonError(RunError):
    """A file that was read whole and is not JSON: it is damaged, or another file."""


def as_json(value: Any) -> Any:
    """Returns a value as JSON can hold it.

    NaN and infinities become null: JSON has none, and readers in other languages refuse them. Numbers of NumPy become
    numbers, sets sorted lists; what is nothing of the kind, its text.
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): as_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(item) for item in value]
    if isinstance(value, set | frozenset):
        return [as_json(item) for item in sorted(value, key=str)]
    if hasattr(value, "tolist"):  # arrays and scalars of NumPy, tensors
        return as_json(value.tolist())
    return str(value)
