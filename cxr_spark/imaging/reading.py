"""Reading image files on executors: a few ahead of the one that is worked on, and again after a hiccup."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from cxr_spark.errors import RunError, StorageAwayError
from cxr_spark.imaging.decode import check_file_size
from cxr_spark.imaging.rejected import UNREADABLE, ImageRejected
from cxr_spark.storage.store import read_uri

#: Files that are read while another is worked on; hides the latency of HDFS and object stores.
READ_AHEAD = 4
#: Seconds until a file that could not be read is tried again, once.
_RETRY_AFTER = 0.5

Item = TypeVar("Item")
Result = TypeVar("Result")


def ahead(
    items: Iterable[Item], work: Callable[[Item], Result], depth: int = READ_AHEAD, threads: int = READ_AHEAD
) -> Iterator[Future[Result]]:
    """Works on items in order, a few ahead of the one that is asked for.

    Args:
        items: what to work on.
        work: what to do with each, in other threads.
        depth: how many at the most are done and not yet asked for.
        threads: how many are worked on at the same time.
    """
    with ThreadPoolExecutor(threads, thread_name_prefix="read-ahead") as pool:
        waiting: deque[Future[Result]] = deque()
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > depth:
                yield waiting.popleft()
        yield from waiting


def read_image_file(uri: str, size: int) -> bytes:
    """Reads an image file; one that the storage does not give is a rejected image, not a failed task.

    Storage that is away fails the task: else images would be lost by the thousand, and each blamed for it.

    Args:
        uri: full URI.
        size: bytes, as it was listed.

    Raises:
        ImageRejected: it is too large or cannot be read.
        StorageAwayError: the storage cannot be reached.
    """
    check_file_size(size)
    try:
        return read_uri(uri)
    except RunError:  # the network or a node; a second try often helps
        time.sleep(_RETRY_AFTER)
    except FileNotFoundError as error:
        raise ImageRejected(UNREADABLE, f"gone since it was listed: {error}") from error
    try:
        return read_uri(uri)
    except StorageAwayError:
        raise
    except (RunError, FileNotFoundError) as error:
        raise ImageRejected(UNREADABLE, str(error)) from error
