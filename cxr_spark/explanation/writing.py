"""Draws and writes pictures in other threads, while the network works on the next images. No Spark."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from cxr_spark.storage.store import Store

#: The number of threads that draw and write, and the number of pictures that may wait for them.
WRITERS, _AHEAD = 4, 32


class PictureWriter:
    """Draws and writes pictures in other threads; a limited number of them may wait."""

    def __init__(self, store: Store, pool: ThreadPoolExecutor) -> None:
        self._store = store
        self._pool = pool
        self._waiting: deque[Future[None]] = deque()

    def write(self, name: str, draw: Callable[..., bytes], *args: Any) -> None:
        """Writes what `draw(*args)` gives."""
        self._waiting.append(self._pool.submit(lambda: self._store.write_bytes(name, draw(*args))))
        if len(self._waiting) > _AHEAD:
            self._waiting.popleft().result()

    def finish(self) -> None:
        """Waits for all pictures.

        Raises:
            RunError: a picture could not be written.
        """
        while self._waiting:
            self._waiting.popleft().result()
