"""Reads image files on executors: a few files in advance, and once more if the first attempt fails."""

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

#: How many files are read in advance while one is decoded. This hides the latency of HDFS and object stores.
READ_AHEAD = 4
#: Seconds to wait before the one further attempt to read a file.
_RETRY_AFTER = 0.5

Item = TypeVar("Item")
Result = TypeVar("Result")


def ahead(
    items: Iterable[Item], function: Callable[[Item], Result], depth: int = READ_AHEAD, threads: int = READ_AHEAD
) -> Iterator[Future[Result]]:
    """Calls a function for items in other threads, in advance, and yields the results in the order of the items.

    Args:
        items: the arguments of the calls, in order.
        function: the function that is called with each item.
        depth: the highest number of results that wait to be taken.
        threads: the number of calls that run at the same time.
    """
    with ThreadPoolExecutor(threads, thread_name_prefix="read-ahead") as pool:
        waiting: deque[Future[Result]] = deque()
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > depth:
                yield waiting.popleft()
        yield from waiting


def read_image_file(uri: str, size: int) -> bytes:
    """Reads an image file. If the storage does not give it, the image is rejected and the task goes on.

    If the storage cannot be reached at all, the task fails: otherwise thousands of good images would be rejected.

    Args:
        uri: full URI.
        size: the file's size in bytes when it was listed.

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
