"""Shows how far long work has come: a bar on a terminal, else a line in the log every ten seconds."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

log = logging.getLogger(__name__)

#: Seconds between two lines in the log, and between two looks at the count for a bar.
LINE_SECONDS, BAR_SECONDS = 10.0, 0.5


@contextmanager
def watched(doing: str, total: int, done: Callable[[], int]) -> Iterator[None]:
    """Shows the progress of what runs inside the block, from a thread of its own.

    Nothing is shown where the program's log is not asked for its INFO lines, as in a user's own Python program.

    Args:
        doing: what is done, such as `preparing`.
        total: the number of parts of the work.
        done: returns how many of them are done; it is called from the thread.
    """
    if total == 0 or not log.isEnabledFor(logging.INFO):
        yield
        return
    ended = threading.Event()
    show = _bar if sys.stderr is not None and sys.stderr.isatty() else _lines
    thread = threading.Thread(target=show, args=(doing, total, done, ended), name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _lines(doing: str, total: int, done: Callable[[], int], ended: threading.Event) -> None:
    started = time.monotonic()
    while not ended.wait(LINE_SECONDS):
        log.info("%s", line(doing, min(done(), total), total, time.monotonic() - started))


def line(doing: str, done: int, total: int, seconds: float) -> str:
    """Says how far work has come.

    >>> line("preparing", 3, 12, 30.0)
    'preparing: 3 of 12 parts done after 30 s, about 90 s left'
    >>> line("preparing", 0, 12, 10.0)
    'preparing: 0 of 12 parts done after 10 s'
    """
    left = f", about {seconds * (total - done) / done:.0f} s left" if done else ""
    return f"{doing}: {done} of {total} parts done after {seconds:.0f} s{left}"


def _bar(doing: str, total: int, done: Callable[[], int], ended: threading.Event) -> None:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("parts,"),
        TimeElapsedColumn(),
        TextColumn("gone,"),
        TimeRemainingColumn(),
        TextColumn("left"),
    )
    # The bar is wiped away at its end, so that the lines of the log stand one below the other.
    with Progress(*columns, console=Console(file=sys.stderr), transient=True) as progress:
        task = progress.add_task(doing, total=total)
        while not ended.wait(BAR_SECONDS):
            progress.update(task, completed=min(done(), total))
