"""Chooses the images that each task explains: all images of the parts of a score job, or some of them. No Spark."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Container, Sequence
from dataclasses import dataclass, replace

from cxr_spark.datasets.draws import place_in_draw
from cxr_spark.errors import DataError
from cxr_spark.explanation.shown import MAX_LISTED
from cxr_spark.scoring.plan import Part, RawPart


@dataclass(frozen=True)
class ChosenPart:
    """The images that one task explains.

    Attributes:
        part: the file or the images that they come from.
        names: the names of the wanted images; None for all of them.
        most_listed: of how many images, the first ones, the task tells the driver what their pictures show.
    """

    part: Part
    names: frozenset[str] | None = None
    most_listed: int = MAX_LISTED

    @property
    def images(self) -> int:
        """The number of images, as far as it is known before a file is read; else 0."""
        if self.names is not None:
            return len(self.names)
        return len(self.part.images) if isinstance(self.part, RawPart) else 0


#: What is told where none of the images is wanted.
NO_BOX = "none of the images has a box: check that --boxes belongs to them, or leave out --only boxed"
NOT_LISTED_WITH_BOX = (
    "none of the images is in --image-list and has a box, too: leave out --only boxed or --image-list, or check that "
    "both lists belong to these images"
)
NOT_LISTED = "none of the images is in --image-list: check that it belongs to them, and names them in the same way"


def choose(
    parts: Sequence[Part],
    names_of: Callable[[Part], list[str]],
    only: Container[str] | None,
    limit: int | None,
    none_left: str = NO_BOX,
) -> list[ChosenPart]:
    """Chooses the images to explain.

    Args:
        parts: all images, cut as for the score job.
        names_of: returns the names of the images of a part. It is called only where some images are left out, and for
            no more parts than needed.
        only: the names of the wanted images; None for all images.
        limit: the most images that are explained, the first in the order of the parts; None for all.
        none_left: what is told where none of the images is wanted.

    Returns:
        The images of each task. Tasks without an image are left out.

    Raises:
        DataError: no image is left.
    """
    if only is None and limit is None:
        return [ChosenPart(part) for part in parts]
    chosen: list[ChosenPart] = []
    left = limit
    for part in parts:
        if left == 0:
            break
        names = [name for name in names_of(part) if only is None or name in only][:left]
        left = None if left is None else left - len(names)
        if not names:
            continue
        chosen.append(_only(part, names))
    if not chosen and only is None:
        raise DataError(
            "no image is left to explain: all of them were set aside because of their names; images of one name are "
            "told apart by their paths with --image-index path"
        )
    if not chosen:
        raise DataError(none_left)
    return chosen


def draw(
    chosen: Sequence[ChosenPart], names_of: Callable[[Part], list[str]], number: int, seed: int
) -> tuple[ChosenPart, ...]:
    """Draws some of the images that are explained. How they are cut into parts changes nothing.

    Args:
        chosen: the images that are explained.
        names_of: returns the names of the images of a part.
        number: how many images are drawn; of fewer all are taken.
        seed: the seed of the draw.

    Returns:
        The drawn images; parts without any are left out.
    """
    places = (
        (place_in_draw(seed, "sanity", name), place, name)
        for place, one in enumerate(chosen)
        for name in (names_of(one.part) if one.names is None else one.names)
    )
    drawn: dict[int, list[str]] = {}
    for _, place, name in heapq.nsmallest(number, places):
        drawn.setdefault(place, []).append(name)
    return tuple(_only(chosen[place].part, names) for place, names in sorted(drawn.items()))


def _only(part: Part, names: Collection[str]) -> ChosenPart:
    kept = frozenset(names)
    if isinstance(part, RawPart):
        part = replace(part, images=tuple(image for image in part.images if image.image_index in kept))
    return ChosenPart(part, kept)


def with_listing(chosen: Sequence[ChosenPart]) -> list[ChosenPart]:
    """Shares `MAX_LISTED` among parts, the first ones first, so that the driver gets no more than it lists.

    Where the size of a part is not known before its file is read, the parts behind it may list as many again.
    """
    left, shared = MAX_LISTED, []
    for part in chosen:
        shared.append(replace(part, most_listed=left))
        left = max(left - part.images, 0)
    return shared
