"""Shows how far long work has come: a bar on a terminal or in a notebook, else lines in the log.

The first line comes after two seconds, the others every ten.
"""

from __future__ import annotations

import contextvars
import importlib
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

log = logging.getLogger(__name__)

#: Seconds between two lines in the log, and between two looks at the count for a bar on a terminal or in a notebook.
LINE_SECONDS, BAR_SECONDS, NOTEBOOK_SECONDS = 10.0, 0.5, 1.0


@contextmanager
def watched(doing: str, total: int, done: Callable[[], int]) -> Iterator[None]:
    """Shows the progress of what runs inside the block, from a thread of its own.

    Nothing is shown where the program's log is not asked for its INFO lines, as in a user's own Python program. A
    notebook shows its bar all the same, unless the level of the logger `cxr_spark` is above INFO.

    Args:
        doing: what is done, such as `preparing`.
        total: the number of parts of the work.
        done: returns how many of them are done; it is called from the thread.
    """
    show = _chosen()
    if total == 0 or show is None:
        yield
        return
    ended = threading.Event()
    # A kernel knows by the context to which cell an output belongs.
    run = contextvars.copy_context().run
    thread = threading.Thread(target=run, args=(show, doing, total, done, ended), name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _chosen() -> Callable[[str, int, Callable[[], int], threading.Event], None] | None:
    """Returns what shows the progress; None where nothing does."""
    if _runs_in_notebook() and not _is_silenced():
        return _notebook
    if not log.isEnabledFor(logging.INFO):
        return None
    return _bar if sys.stderr is not None and sys.stderr.isatty() else _lines


def _runs_in_notebook() -> bool:
    """Whether this is the kernel of a notebook: Jupyter's, or one whose shell is made of Jupyter's, as Colab's."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None and hasattr(ipython, "get_ipython") else None
    return any(each.__name__ == "ZMQInteractiveShell" for each in type(shell).__mro__)


def _is_silenced() -> bool:
    """Whether this package's own loggers, not that of the whole program, are set to say less than INFO."""
    logger: logging.Logger | None = log
    while logger is not None and logger.parent is not None and logger.level == logging.NOTSET:
        logger = logger.parent
    return logger is not None and logger.parent is not None and logger.level > logging.INFO


def _lines(doing: str, total: int, done: Callable[[], int], ended: threading.Event) -> None:
    started, pause = time.monotonic(), LINE_SECONDS / 5  # soon, since Spark's start before it was silent, too
    while not ended.wait(pause):
        log.info("%s", line(doing, min(done(), total), total, time.monotonic() - started))
        pause = LINE_SECONDS


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

    # The bar is wiped away at its end, so that the lines of the log stand one below the other.
    with _progress(Console(file=sys.stderr), transient=True) as progress:
        task = progress.add_task(doing, total=total)
        while not ended.wait(BAR_SECONDS):
            progress.update(task, completed=min(done(), total))


def _notebook(doing: str, total: int, done: Callable[[], int], ended: threading.Event) -> None:
    """Shows one output below the cell, which is replaced again and again, and stays as it was at the end.

    Work that is done before the first look shows nothing. Widgets are not needed, but a page that replaces an output.
    A notebook that cannot do this gets lines in the log instead.
    """
    try:
        display = importlib.import_module("IPython.display").display
        progress = _progress(bar_width=24)  # the line then fits a narrow notebook
        task = progress.add_task(doing, total=total)
        if ended.wait(NOTEBOOK_SECONDS):
            return
        progress.update(task, completed=min(done(), total))
        shown = display(progress.make_tasks_table(progress.tasks), display_id=True)
        while True:
            is_last = ended.wait(NOTEBOOK_SECONDS)
            progress.update(task, completed=min(done(), total))
            shown.update(progress.make_tasks_table(progress.tasks))
            if is_last:
                return
    except Exception:
        log.debug("this notebook cannot show a bar", exc_info=True)
        _lines(doing, total, done, ended)


def _progress(console: Console | None = None, *, bar_width: int = 40, **options: Any) -> Progress:
    """Returns the bar, without a task."""
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
        BarColumn(bar_width),
        MofNCompleteColumn(),
        TextColumn("parts,"),
        TimeElapsedColumn(),
        TextColumn("gone,"),
        TimeRemainingColumn(),
        TextColumn("left"),
    )
    return Progress(*columns, console=console, **options)
