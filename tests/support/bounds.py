"""Measures whether a call keeps to bounds of time and memory."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable


def seconds_and_peak(call: Callable[[], object]) -> tuple[float, int]:
    """Calls twice: once for the processor time in seconds, once for the peak of what Python and numpy allocate."""
    started = time.thread_time()
    call()
    seconds = time.thread_time() - started
    tracemalloc.start()
    try:
        call()
        return seconds, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
