"""Standard output and standard error that nobody reads any more, as in `cxr-spark train ... 2>&1 | head -2`.

A job must go on to its end then, and its exit status must tell how it ended.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO, cast


@contextlib.contextmanager
def guarded_streams() -> Iterator[None]:
    """Lets nothing that is printed fail because its reader is gone; what nobody reads is dropped."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (_guarded(stream) for stream in before)
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        sys.stdout, sys.stderr = before


def _guarded(stream: TextIO | None) -> TextIO:
    # A process may have no standard streams at all: then Python has None for them.
    return cast(TextIO, stream if stream is None else _Guarded(stream))


class _Guarded(io.TextIOBase):
    """Passes text on to a stream until nobody reads the stream any more."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Writes text, or drops it where there is no reader."""
        try:
            return self._stream.write(text)
        except BrokenPipeError:
            self._drop_from_now_on()
            return len(text)

    def flush(self) -> None:
        """Hands on what was written so far."""
        try:
            self._stream.flush()
        except BrokenPipeError:
            self._drop_from_now_on()

    def _drop_from_now_on(self) -> None:
        """Puts the null device in place of the pipe, also for what Python flushes at its end and for children."""
        with contextlib.suppress(OSError, ValueError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self._stream.fileno())
            os.close(null)

    def fileno(self) -> int:
        """Returns the number of the stream's file descriptor."""
        return self._stream.fileno()

    def isatty(self) -> bool:
        """Tells whether the stream is a terminal."""
        return self._stream.isatty()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """How text becomes bytes."""
        return self._stream.encoding

    def writable(self) -> bool:
        """The stream can be written to."""
        return True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
