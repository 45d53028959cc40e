"""Runs the parts of a score or explain job on the executors, logs how fast they were, and deletes what is left over."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

from cxr_spark.outputs.own_files import delete_strays
from cxr_spark.runtime.tasks import run_parts
from cxr_spark.storage.store import Store

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from cxr_spark.scoring.task import ScoredPart

log = logging.getLogger(__name__)


class ImageCount(Protocol):
    """The result of a part, which tells how many images were processed."""

    @property
    def images(self) -> int:
        """The number of images."""


Part = TypeVar("Part")
Result = TypeVar("Result", bound=ImageCount)


def run_image_parts(
    spark: SparkSession,
    parts: Sequence[Part],
    task: Callable[[Iterable[Part]], Iterator[Result]],
    *,
    doing: str,
    done: str,
) -> list[Result]:
    """Runs parts as `run_parts` does, and logs the number of images, the seconds and the images per second.

    Args:
        spark: the session.
        parts: the parts, one for each task.
        task: what a task does with its part.
        doing: a word for what the tasks do, such as `scoring`.
        done: a word for what they have done, such as `scored`.

    Returns:
        The results, in the order of the parts.

    Raises:
        CxrError: as `run_parts`.
    """
    started = time.monotonic()
    results = run_parts(spark, parts, task, doing)
    images, seconds = sum(result.images for result in results), max(time.monotonic() - started, 1e-6)
    log.info("%s %d images in %.1f s, %.1f images/s", done, images, seconds, images / seconds)
    return results


def keep_reported(
    store: Store, scored: Sequence[ScoredPart], check_held: Callable[[], None], beside: Iterable[str] = ()
) -> int:
    """Deletes the files of a score job that no part reported.

    Args:
        store: the output folder.
        scored: the results of all parts.
        check_held: raises if another run took the output folder over; called before anything is deleted.
        beside: names of files that count beside those of the parts.

    Returns:
        The number of images that were scored.

    Raises:
        RunError: a reported file is not there, or the folder was taken over.
    """
    check_held()
    delete_strays(store, "score", {*beside, *(name for part in scored for name in part.names)})
    return sum(part.images for part in scored)
