"""Chooses the images that each task explains: the parts of the score job, or some of their images. No Spark."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from cxr_spark.errors import DataError
from cxr_spark.scoring.plan import Part, RawPart
from cxr_spark.storage.store import Store
from cxr_spark.tables.prepared_files import read_columns


@dataclass(frozen=True)
class Selection:
    """The images that one task explains.

    Attributes:
        part: the file or the images that they come from.
        names: the wanted images of a prepared file; None for all of them.
    """

    part: Part
    names: frozenset[str] | None = None


def select(
    parts: Sequence[Part], data: Store | None, only: Collection[str] | None, limit: int | None
) -> list[Selection]:
    """Chooses images.

    The names of prepared images are read only where some are left out, and no more of them than needed.

    Args:
        parts: the parts of the work.
        data: the prepared dataset; None for raw images.
        only: the names of the wanted images; None for all images.
        limit: the most images that are explained, the first in the order of the parts; None for all.

    Returns:
        The images of each task. Tasks without an image are left out.

    Raises:
        DataError: no image is left.
    """
    if only is None and limit is None:
        return [Selection(part) for part in parts]
    chosen: list[Selection] = []
    left = limit
    for part in parts:
        if left == 0:
            break
        names = [name for name in image_names(part, data) if only is None or name in only][:left]
        left = None if left is None else left - len(names)
        if not names:
            continue
        kept = frozenset(names)
        if isinstance(part, RawPart):
            part = replace(part, images=tuple(image for image in part.images if image.image_index in kept))
        chosen.append(Selection(part, kept))
    if not chosen and only is None:
        raise DataError(
            "no image is left to explain: all of them were set aside because of their names; images of one name are "
            "told apart by their paths with --image-index path"
        )
    if not chosen:
        raise DataError("none of the images has a box: check that --boxes belongs to them, or leave out --only boxed")
    return chosen


def image_names(part: Part, data: Store | None) -> list[str]:
    """Returns the names of the images of a part; of a prepared file they are read from it.

    Args:
        part: the images of one task of the score job.
        data: the prepared dataset; None for raw images.

    Raises:
        DataError: the prepared file cannot be read.
    """
    if isinstance(part, RawPart):
        return [image.image_index for image in part.images]
    store = data or Store("")
    table = read_columns(store, part.name, ["image_index"])
    return [str(name) for name in table["image_index"].to_pylist()]
