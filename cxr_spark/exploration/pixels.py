"""Grey values of a prepared dataset: their histogram and the mean image of each split. Spark only runs the tasks."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from cxr_spark.errors import DataError
from cxr_spark.imaging.prepare import use_one_thread
from cxr_spark.runtime.tasks import run_parts
from cxr_spark.storage.store import Store
from cxr_spark.tables.prepared import PreparedDataset, binary_images
from cxr_spark.tables.schema import SPLITS

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

log = logging.getLogger(__name__)

GREY_VALUES = 256
#: Side of a mean image at the most, pixels: each task sends one to the driver.
_MEAN_SIDE = 256
_TASKS_PER_CORE = 2
#: Bytes of pixels read at a time.
_BATCH_BYTES = 16 * 2**20


@dataclass(frozen=True)
class Files:
    """Files of one split that one task reads."""

    split: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class Sums:
    """What is summed over the images of a split.

    Attributes:
        split: its name.
        images: how many.
        histogram: int64 (256,): pixels of each grey value.
        total: float64 (s, s): sum of the images, scaled down to s of at most `_MEAN_SIDE`.
    """

    split: str
    images: int
    histogram: NDArray[np.int64]
    total: NDArray[np.float64]

    def __add__(self, other: Sums) -> Sums:
        return Sums(self.split, self.images + other.images, self.histogram + other.histogram, self.total + other.total)

    def facts(self) -> dict[str, Any]:
        """Returns mean and standard deviation of the grey values (0 to 255), and their histogram."""
        values, n = np.arange(GREY_VALUES), int(self.histogram.sum())
        mean = float((values * self.histogram).sum() / n)
        variance = float((self.histogram * (values - mean) ** 2).sum() / n)
        return {"mean": mean, "std": variance**0.5, "histogram": self.histogram.tolist()}

    def mean_image(self) -> NDArray[np.float64]:
        """Returns the mean image, float64 (s, s), 0 to 255."""
        return self.total / self.images


@dataclass(frozen=True)
class Summer:
    """Sums over files. It travels to the executors.

    Attributes:
        data: URI of the dataset.
        size: side of its images, pixels.
    """

    data: str
    size: int

    def __call__(self, parts: Iterable[Files]) -> Iterator[Sums]:
        """Sums over the files of each part.

        Raises:
            DataError: a file is damaged.
        """
        use_one_thread()
        for part in parts:
            side = min(self.size, _MEAN_SIDE)
            sums = Sums(part.split, 0, np.zeros(GREY_VALUES, np.int64), np.zeros((side, side)))
            for name in part.names:
                for images in self._batches(name):
                    sums += self._sums(part.split, images, side)
            yield sums

    def _batches(self, name: str) -> Iterator[NDArray[np.uint8]]:
        store = Store(self.data)
        filesystem, root = store.arrow()
        rows = max(1, _BATCH_BYTES // self.size**2)
        try:
            with pq.ParquetFile(f"{root}/{name}", filesystem=filesystem) as file:
                for batch in file.iter_batches(rows, columns=["pixels"], use_threads=False):
                    images = binary_images(batch["pixels"])
                    if images.shape[1] != self.size:
                        raise ValueError(f"images of {images.shape[1]} pixels, the manifest says {self.size}")
                    yield images
        except (pa.ArrowInvalid, KeyError, OSError, ValueError) as error:
            raise DataError(f"{store.uri_of(name)} cannot be read ({error}): prepare the data again") from error

    @staticmethod
    def _sums(split: str, images: NDArray[np.uint8], side: int) -> Sums:
        histogram = np.zeros(GREY_VALUES, np.int64)
        for image in images:  # OpenCV counts in float32, which is exact for one image and not for a batch
            histogram += cv2.calcHist([image], [0], None, [GREY_VALUES], [0, GREY_VALUES])[:, 0].astype(np.int64)
        total = images.sum(axis=0, dtype=np.uint32).astype(np.float64)
        if side != total.shape[0]:
            total = cv2.resize(total, (side, side), interpolation=cv2.INTER_AREA)
        return Sums(split, len(images), histogram, total)


def sum_pixels(spark: SparkSession, dataset: PreparedDataset) -> dict[str, Sums]:
    """Sums over all images of each split that has any.

    Raises:
        DataError: a file is damaged.
        RunError: a file cannot be read.
    """
    started = time.monotonic()
    parts = _parts(dataset, int(spark.sparkContext.defaultParallelism))
    found: dict[str, Sums] = {}
    for sums in run_parts(spark, parts, Summer(dataset.store.uri, dataset.size), "summing up pixels"):
        if sums.images:
            found[sums.split] = found[sums.split] + sums if sums.split in found else sums
    images = sum(sums.images for sums in found.values())
    log.info("summed up the pixels of %d images in %.1f s", images, time.monotonic() - started)
    return found


def _parts(dataset: PreparedDataset, cores: int) -> list[Files]:
    """Deals each split's files out to tasks, so few that what they send back is little however large the data."""
    parts = []
    for split in SPLITS:
        names = dataset.files(split)
        tasks = min(len(names), _TASKS_PER_CORE * cores)
        parts += [Files(split, tuple(names[i::tasks])) for i in range(tasks)]
    return parts
