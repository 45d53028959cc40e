"""Runs the parts of a score or explain job on the executors, and logs how fast they were."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

from cxr_spark.runtime.tasks import run_parts

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

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
