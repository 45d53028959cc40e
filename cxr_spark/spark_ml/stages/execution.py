"""Runs batch kernels over columns of bytes inside Spark's Python workers. No Spark is imported here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from cxr_spark.augmentation import kernels
from cxr_spark.augmentation.building import BatchAugmentation
from cxr_spark.augmentation.draws import image_keys
from cxr_spark.errors import DataError
from cxr_spark.imaging.decode import decode_grey
from cxr_spark.imaging.prepare import use_one_thread
from cxr_spark.imaging.rejected import ImageRejected
from cxr_spark.imaging.resize import ResizeMode, resize
from cxr_spark.spark_ml.stages.metadata import ImageColumn

#: The most bytes of images that go through a kernel at once: enough that the call costs little, and little memory.
_CHUNK_BYTES = 16 * 2**20

InvalidPolicy = Literal["error", "skip", "keep"]
Objects = NDArray[np.object_]
Kernel = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Source:
    """The input column, as a worker and its messages need to know it.

    Attributes:
        name: the name of the column.
        column: the content of the column.
        on_invalid: the policy for a row without a usable image: `error` raises, otherwise the row's result is null.
    """

    name: str
    column: ImageColumn
    on_invalid: InvalidPolicy


def map_images(values: Objects, source: Source, kernel: Kernel) -> Objects:
    """Runs a kernel over a column of images.

    Args:
        values: the images as bytes, laid out as `source.column` says; or None.
        source: the column that the values come from.
        kernel: a function from a batch (n, H, W) or (n, 3, H, W) to a batch of as many images.

    Returns:
        The bytes of each result, None where a row was invalid.

    Raises:
        DataError: a row is invalid and the policy is `error`, or the kernel refuses the images.
    """
    use_one_thread()
    results = np.full(len(values), None, dtype=object)
    for chosen, shape in _chunks(values, source):
        results[chosen] = _split(kernel(_join(values, chosen, shape, source.column)))
    return results


def augment_images(
    values: Objects,
    image_indices: Objects,
    source: Source,
    augmentation: BatchAugmentation,
    seed: int,
    epoch: int,
) -> Objects:
    """Runs a random augmentation over a column of images, as `map_images` runs a kernel.

    Where the column holds the network's input, the grey image that it was made from is augmented, as in training.
    """
    results = np.full(len(values), None, dtype=object)
    named = np.array([index is not None for index in image_indices], dtype=bool)
    if not named.all():
        _refuse(source, "an image index is null, so nothing can be drawn for its image")
        values = values.copy()
        values[~named] = None
    for chosen, shape in _chunks(values, source):
        batch = _join(values, chosen, shape, source.column)
        grey = kernels.grey_from_bgr(batch) if source.column.is_bgr else batch
        changed = augmentation(grey, image_keys(image_indices[chosen]), seed, epoch)
        results[chosen] = _split(kernels.imagenet_bgr(changed) if source.column.is_bgr else changed)
    return results


def decode_images(
    values: Objects,
    image_indices: Objects | None = None,
    *,
    source: Source,
    size: int,
    mode: ResizeMode,
) -> Objects:
    """Decodes a column of image files and resizes each to `size` x `size` grey; invalid rows as in `map_images`."""
    use_one_thread()
    results = np.full(len(values), None, dtype=object)
    for i, data in enumerate(values):
        where = "" if image_indices is None else f" of {image_indices[i]!r}"
        if data is None:
            _refuse(source, f"the value{where} is null")
            continue
        try:
            results[i] = resize(decode_grey(data), size, mode).tobytes()
        except ImageRejected as rejected:
            _refuse(source, f"the value{where} is no usable image ({rejected})")
    return results


def _chunks(rows: Objects, source: Source) -> Iterator[tuple[NDArray[np.int64], tuple[int, ...]]]:
    """Yields the rows that are images, as (indices, shape of each), in chunks of one shape and a bounded size."""
    lengths = np.fromiter((-1 if row is None else len(row) for row in rows), dtype=np.int64, count=len(rows))
    for length in np.unique(lengths):
        chosen = np.flatnonzero(lengths == length)
        shape = None if length < 0 else source.column.shape_of(int(length))
        if shape is None:
            what = "a value is null" if length < 0 else f"a value has {length} bytes, expected {source.column}"
            _refuse(source, what)
            continue
        step = max(1, _CHUNK_BYTES // int(length))
        for start in range(0, len(chosen), step):
            yield chosen[start : start + step], shape


def _join(rows: Objects, chosen: NDArray[np.int64], shape: tuple[int, ...], column: ImageColumn) -> torch.Tensor:
    # A bytearray, since torch wants memory that may be written to.
    joined = bytearray().join(rows[chosen])
    return torch.from_numpy(np.frombuffer(joined, dtype=column.dtype).reshape(len(chosen), *shape))


def _split(batch: torch.Tensor) -> Objects:
    images = batch.contiguous().numpy()
    result = np.empty(len(images), dtype=object)
    result[:] = [image.tobytes() for image in images]
    return result


def _refuse(source: Source, what: str) -> None:
    if source.on_invalid == "error":
        raise DataError(
            f"column {source.name!r}: {what}; mend the data, or set handleInvalid to 'skip' (drop such rows) or 'keep' "
            "(their result is null)"
        )
