"""The content of a binary image column, as its metadata says: `{"cxr": {"shape": [H, W], "dtype": "uint8", ...}}`.

Stages pass on two kinds of column, both row-major in the machine's byte order: grey images, uint8 (H, W), and the
network's input, float32 (3, H, W), as `ImageNetBGR` makes it. The metadata also lists the random augmentations that a
fitted pipeline leaves to the trainer. No Spark is imported here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from cxr_spark.augmentation.building import BatchAugmentation, from_json, numbered
from cxr_spark.errors import CxrError, DataError

if TYPE_CHECKING:
    from pyspark.sql.types import StructField, StructType

#: The key under which a column's metadata holds the content.
METADATA_KEY = "cxr"


@dataclass(frozen=True)
class ImageColumn:
    """The content of a binary image column.

    Attributes:
        size: (height, width) in pixels. None where it is not known before the data is read; then an image is square,
            and its side follows from the length of its value.
        is_bgr: true for the network's input, float32 (3, H, W); false for grey, uint8 (H, W).
        augmentations: the augmentations that the trainer is to run on each batch, in order.
    """

    size: tuple[int, int] | None = None
    is_bgr: bool = False
    augmentations: tuple[BatchAugmentation, ...] = ()

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of one value: float32 for the network's input, else uint8."""
        return np.dtype(np.float32 if self.is_bgr else np.uint8)

    @property
    def bytes_per_pixel(self) -> int:
        """The number of bytes of one pixel, all channels together."""
        return self.dtype.itemsize * (3 if self.is_bgr else 1)

    @property
    def row_bytes(self) -> int | None:
        """The length of one value in bytes; None where the size is not known."""
        return None if self.size is None else self.bytes_per_pixel * self.size[0] * self.size[1]

    def shape_of(self, length: int) -> tuple[int, ...] | None:
        """Returns the shape of a value of `length` bytes, (H, W) or (3, H, W); None if no image has that length."""
        size = self.size
        if size is None:
            side = math.isqrt(length // self.bytes_per_pixel)
            size = (side, side)
        if length == 0 or length != self.bytes_per_pixel * size[0] * size[1]:
            return None
        return (3, *size) if self.is_bgr else size

    def with_augmentation(self, augmentation: BatchAugmentation) -> ImageColumn:
        """Returns the same content with one more augmentation for the trainer."""
        return replace(self, augmentations=tuple(numbered([*self.augmentations, augmentation])))

    def to_metadata(self) -> dict[str, Any]:
        """Returns the column metadata that `image_column` reads."""
        entry: dict[str, Any] = {"dtype": self.dtype.name}
        if self.size is not None:
            entry["shape"] = [3, *self.size] if self.is_bgr else list(self.size)
        if self.augmentations:
            entry["augmentations"] = [augmentation.to_json() for augmentation in self.augmentations]
        return {METADATA_KEY: entry}

    def __str__(self) -> str:
        """Describes a value, for messages."""
        size = "N x N" if self.size is None else f"{self.size[0]} x {self.size[1]}"
        return f"float32 of 3 x {size}" if self.is_bgr else f"uint8 of {size}"


def image_field(schema: StructType, name: str) -> StructField:
    """Returns the field of a binary column.

    Raises:
        DataError: there is no such column, or it is not binary.
    """
    if name not in schema.names:
        raise DataError(f"no column {name!r}: the DataFrame has {', '.join(schema.names) or 'no columns'}")
    field = schema[name]
    if field.dataType.typeName() != "binary":
        raise DataError(f"column {name!r} is {field.dataType.simpleString()}: expected binary, the bytes of an image")
    return field


def has_image_metadata(field: StructField) -> bool:
    """Tells whether a column says what images it holds; a column of encoded files (PNG, JPEG) does not."""
    return METADATA_KEY in (field.metadata or {})


def image_column(schema: StructType, name: str) -> ImageColumn:
    """Reads the content of a column from its metadata. A column without metadata is taken for square uint8 images.

    Args:
        schema: the schema of the DataFrame.
        name: the name of the column.

    Raises:
        DataError: there is no such column, it is not binary, or its metadata describes no images.
    """
    field = image_field(schema, name)
    if not has_image_metadata(field):
        return ImageColumn()
    entry = field.metadata[METADATA_KEY]
    try:
        return _from_entry(entry)
    except (CxrError, TypeError, ValueError, KeyError, AttributeError) as error:
        raise DataError(
            f"column {name!r} has image metadata {entry!r}: expected dtype uint8 with shape [H, W] "
            f"or float32 with shape [3, H, W] ({error})"
        ) from None


def pending_augmentations(field: StructField) -> list[BatchAugmentation]:
    """Returns the augmentations that a fitted pipeline left on a column for the trainer, in order.

    Raises:
        ConfigError: an entry is not an augmentation.
    """
    entry = (field.metadata or {}).get(METADATA_KEY, {})
    return [from_json(text) for text in entry.get("augmentations", [])]


def _from_entry(entry: Mapping[str, Any]) -> ImageColumn:
    dtype = entry["dtype"]
    if dtype not in ("uint8", "float32"):
        raise ValueError(f"dtype is {dtype!r}")
    is_bgr = dtype == "float32"
    augmentations = tuple(from_json(text) for text in entry.get("augmentations", []))
    if "shape" not in entry:
        return ImageColumn(None, is_bgr, augmentations)
    shape = entry["shape"]
    sides_fit = isinstance(shape, list) and all(isinstance(side, int) and side > 0 for side in shape)
    if not sides_fit or len(shape) != (3 if is_bgr else 2) or (is_bgr and shape[0] != 3):
        raise ValueError(f"shape is {shape!r}")
    return ImageColumn((shape[-2], shape[-1]), is_bgr, augmentations)
