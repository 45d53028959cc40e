"""The record of an explanation: which finding of which image is where in which picture. `explain` writes it."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from cxr_spark.errors import DataError
from cxr_spark.storage.store import Store
from cxr_spark.storage.typed_json import check_relative_name

#: One map in a picture.
EXPLAINED = pa.schema(
    [
        pa.field("image_index", pa.string(), nullable=False),
        pa.field("finding", pa.string(), nullable=False),
        pa.field("picture", pa.string(), nullable=False),  # the name of the file beside index.html
        pa.field("left", pa.int32(), nullable=False),  # where the image under its map begins in it, in pixels
        pa.field("top", pa.int32(), nullable=False),
        pa.field("side", pa.int32(), nullable=False),
    ]
)
#: The folder of the record in the output of explain. Spark's readers skip folders whose names begin with _.
EXPLAINED_FOLDER = "_explained"
#: What tells of the whole explanation: its model and its method, among others.
LOCALIZATION_NAME = "localization.json"
#: What the methods of `explain.method` are called.
METHODS: Mapping[str, str] = MappingProxyType({"gradcam": "Grad-CAM", "gradcam++": "Grad-CAM++"})


class MapPlace(NamedTuple):
    """Where the map of a finding is, drawn over its image.

    Attributes:
        picture: the name of the picture's file in the output of explain.
        left: the left edge of the square in the picture, in pixels.
        top: its upper edge.
        side: its side.
    """

    picture: str
    left: int
    top: int
    side: int


def write_explained(store: Store, part: str, rows: Sequence[tuple[str, str, MapPlace]]) -> None:
    """Writes a file of the record.

    Args:
        store: the output of explain.
        part: the part of its name that tells it from the others.
        rows: the name of an image, a finding, and the place of its map.

    Raises:
        RunError: it cannot be written.
    """
    values = [dict(zip(EXPLAINED.names, (image, finding, *place), strict=True)) for image, finding, place in rows]
    table = pa.Table.from_pylist(values, schema=EXPLAINED)
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    store.write_bytes(f"{EXPLAINED_FOLDER}/part-{part}.parquet", memoryview(sink.getvalue()))


def read_explained(
    store: Store, files: Iterable[str], wanted: Container[tuple[str, str]]
) -> dict[tuple[str, str], MapPlace]:
    """Finds the maps of some images and findings.

    Args:
        store: the output of explain.
        files: the names of the files of the record.
        wanted: pairs of the name of an image and a finding.

    Returns:
        The places of those that are there, by image and finding.

    Raises:
        DataError: a file is gone or damaged, or names a picture that is not in the folder.
        RunError: a file cannot be read.
    """
    found: dict[tuple[str, str], MapPlace] = {}
    for name in files:
        uri = store.uri_of(name)
        try:
            table = pq.read_table(pa.BufferReader(store.read_bytes(name)))
            table = table.select(EXPLAINED.names).cast(EXPLAINED)
            table.validate(full=True)
        except FileNotFoundError:
            raise DataError(f"{uri} is gone: run explain again with --overwrite") from None
        except (pa.ArrowException, OSError, ValueError, LookupError) as error:
            detail = " ".join(str(error).split())[:120]
            raise DataError(
                f"{uri} cannot be read as the record of an explanation ({detail}): run explain again with --overwrite"
            ) from None
        for row in table.to_pylist():
            pair = (row["image_index"], row["finding"])
            if pair in wanted:
                found[pair] = MapPlace(_file_beside(row["picture"], uri), row["left"], row["top"], row["side"])
    return found


def _file_beside(picture: str, uri: str) -> str:
    try:
        if "/" in check_relative_name(picture):
            raise ValueError("expected a file beside index.html")
    except ValueError as error:
        raise DataError(f"{uri} names the picture {picture[:120]!r}: {error}") from None
    return picture
