"""Compiles inner loops by numba."""

from __future__ import annotations

from typing import Any

import numba


def compiled(function: Any) -> Any:
    """Compiles with the result kept on disk; where no folder can be written (read-only installs) without."""
    try:
        return numba.njit(nogil=True, cache=True)(function)
    except RuntimeError:  # numba: "no locator available"
        return numba.njit(nogil=True)(function)
