"""One task of the explore job: sums up the grey values of some files. No Spark."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cxr_spark.imaging.prepare import use_one_thread
from cxr_spark.storage.store import Store
from cxr_spark.tables.prepared import binary_images
from cxr_spark.tables.prepared_files import naming_damage, read_batches

GREY_VALUES = 256
#: The largest side of a mean image in pixels: each task sends one to the driver.
_MEAN_SIDE = 256
#: The bytes of pixels that are read at a time.
_BATCH_BYTES = 16 * 2**20


@dataclass(frozen=True)
class Files:
    """The files of one split that one task reads.

    Attributes:
        split: the name of the split.
        names: the names of the files within the dataset.
    """

    split: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class Sums:
    """The sums over images of one split.

    Attributes:
        split: the name of the split.
        images: the number of images.
        histogram: int64 (256,), the number of pixels of each grey value.
        total: float64 (s, s), the sum of the images, scaled down to a side s of at most `_MEAN_SIDE`.
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
class PixelSummer:
    """Sums up the pixels of files. Spark sends it to the executors.

    Attributes:
        data: the URI of the dataset.
        size: the side of its images in pixels.
        hashes: the SHA-256 that the bytes of each file must have; a file that is not named is not compared.
    """

    data: str
    size: int
    hashes: Mapping[str, str | None] = field(default_factory=dict)

    def __call__(self, parts: Iterable[Files]) -> Iterator[Sums]:
        """Sums up the files of each part.

        Raises:
            DataError: a file is damaged.
            RunError: a file cannot be read.
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
        rows = max(1, _BATCH_BYTES // self.size**2)
        for batch in read_batches(store, name, ["pixels"], rows, self.hashes.get(name)):
            with naming_damage(store.uri_of(name)):
                images = binary_images(batch["pixels"], self.size)
            yield images

    @staticmethod
    def _sums(split: str, images: NDArray[np.uint8], side: int) -> Sums:
        histogram = np.zeros(GREY_VALUES, np.int64)
        for image in images:  # OpenCV counts in float32: exact for one image, not for a batch
            histogram += cv2.calcHist([image], [0], None, [GREY_VALUES], [0, GREY_VALUES])[:, 0].astype(np.int64)
        total = images.sum(axis=0, dtype=np.uint32).astype(np.float64)
        if side != total.shape[0]:
            total = cv2.resize(total, (side, side), interpolation=cv2.INTER_AREA)
        return Sums(split, len(images), histogram, total)
