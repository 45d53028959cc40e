"""The maps of the worst mistakes: small pictures for the page, cut out of those that the explain job drew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cxr_spark.errors import DataError
from cxr_spark.evaluation.reading.explanations import Explanations
from cxr_spark.imaging.decode import MAX_FILE_BYTES, decode_grey
from cxr_spark.imaging.png import SIGNATURE
from cxr_spark.imaging.rejected import ImageRejected
from cxr_spark.reporting.thumbnails import coloured_thumbnail
from cxr_spark.storage.store import Store
from cxr_spark.tables.explained import MapPlace, read_explained


@dataclass(frozen=True)
class Overlays:
    """The maps of images with mistakes.

    Attributes:
        by_mistake: the address of each picture, by the name of the image and the finding.
        method: what the maps are called, such as Grad-CAM.
        absent: how many mistakes explain has drawn no map of.
        damaged: what is wrong with each picture that cannot be read, in a line.
        left_out: how many pictures were left out to keep the page small.
        models: how many models made the scores together. The maps are of one of them.
    """

    by_mistake: Mapping[tuple[str, str], str]
    method: str
    absent: int = 0
    damaged: tuple[str, ...] = ()
    left_out: int = 0
    models: int = 1


def overlays_of(
    explanations: Explanations,
    mistakes: Sequence[tuple[str, str]],
    side: int,
    most_characters: int,
    own_names: Mapping[str, str],
) -> Overlays:
    """Makes the pictures of the maps.

    Args:
        explanations: the output of explain.
        mistakes: names of images and findings, those first whose pictures matter most; none of them twice.
        side: the side of a picture in pixels.
        most_characters: the characters that all pictures may take together in the page.
        own_names: what the model calls findings that the page names otherwise.

    Raises:
        DataError: the record of explain is damaged.
        RunError: a file of it cannot be read.
    """
    named = {(image, finding): (image, own_names.get(finding, finding)) for image, finding in mistakes}
    places = read_explained(explanations.store, explanations.files, frozenset(named.values()))
    made: dict[tuple[str, str], str] = {}
    damaged: list[str] = []
    left, left_out = most_characters, 0
    for mistake in mistakes:
        if named[mistake] not in places:
            continue
        try:
            address = coloured_thumbnail(_cut_out(explanations.store, places[named[mistake]]), side)
        except (DataError, ValueError) as error:  # storage that cannot be read ends the job
            damaged.append(str(error))
            continue
        if len(address) <= left:
            made[mistake] = address
            left -= len(address)
        else:
            left_out += 1
    return Overlays(
        made, explanations.method, sum(name not in places for name in named.values()), tuple(damaged), left_out
    )


def told_of_overlays(overlays: Overlays, uri: str) -> list[str]:
    """Says which maps are not there, in sentences for the report.

    Args:
        overlays: the pictures that were made.
        uri: the URI of the output of explain.
    """
    told = []
    if overlays.absent:
        told.append(
            f"{overlays.absent:,} of the worst mistakes have no map in {uri}: explain --image-list with "
            "tables/mistakes.csv of this evaluation draws them."
        )
    if overlays.damaged:
        told.append(f"{len(overlays.damaged):,} maps cannot be read, such as {overlays.damaged[0]}.")
    if overlays.left_out:
        told.append(f"{overlays.left_out:,} maps of mistakes are left out to keep this page small.")
    return told


def _cut_out(store: Store, place: MapPlace) -> NDArray[np.uint8]:
    """Returns the image under its map, uint8 (side, side, 3) in the order blue, green, red.

    Raises:
        ValueError: the picture is damaged, or has no such square.
        RunError: the file cannot be read.
    """
    uri = store.uri_of(place.picture)
    try:
        data = store.read_bytes(place.picture, MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        raise ValueError(f"{uri}, which is gone") from None
    if not data.startswith(SIGNATURE):
        raise ValueError(f"{uri}, which is no PNG file")
    try:
        decode_grey(data)  # OpenCV takes half a picture for a whole one
    except ImageRejected as error:
        raise ValueError(f"{uri} ({error.detail})") from None
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if picture is None:
        raise ValueError(f"{uri}, which is damaged")
    left, top, side = place.left, place.top, place.side
    if min(left, top) < 0 or side < 1 or left + side > picture.shape[1] or top + side > picture.shape[0]:
        raise ValueError(f"{uri}, which is smaller than its record says")
    return np.asarray(picture[top : top + side, left : left + side], np.uint8)
