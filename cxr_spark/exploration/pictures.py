"""The pictures of single images on the page: examples of each finding, and of what was set aside. No Spark."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cxr_spark.exploration.set_aside import pixels_of
from cxr_spark.reporting.thumbnails import thumbnails, uses_in_turn
from cxr_spark.tables.prepared import PreparedDataset
from cxr_spark.tables.prepared_pixels import find_pixels

#: The side of a picture in pixels. The page shows it a little smaller, for screens with fine pixels.
_SIDE = 128
#: The characters that the pictures of examples and of what was set aside may take, so that the page stays below 3 MB.
_MOST_OF_EXAMPLES, _MOST_OF_SET_ASIDE = 1_300_000, 400_000


@dataclass(frozen=True)
class Pictures:
    """The pictures of single images.

    Attributes:
        examples: the address of each picture, by the name of its image. The page repeats it for each finding.
        set_aside: the same by URI, for those that can be decoded.
        left_out: how many pictures of examples were left out to keep the page small.
    """

    examples: Mapping[str, str]
    set_aside: Mapping[str, str]
    left_out: int = 0


def pictures_of(facts: Mapping[str, Any], dataset: PreparedDataset) -> Pictures:
    """Makes the pictures.

    Args:
        facts: the content of explore.json.
        dataset: the prepared data.

    Raises:
        DataError: a file of the data is gone or damaged.
        RunError: a file cannot be read.
    """
    uses = uses_in_turn([image["image_index"] for image in images] for images in facts["examples"].values())
    found = find_pixels(dataset, uses)
    examples = thumbnails(found, uses, _SIDE, _MOST_OF_EXAMPLES)
    aside = {
        image["uri"]: pixels
        for reason in facts["set_aside"]["reasons"].values()
        for image in reason["examples"]
        if (pixels := pixels_of(image["uri"], dataset, _SIDE)) is not None
    }
    return Pictures(
        examples, thumbnails(aside, dict.fromkeys(aside, 1), _SIDE, _MOST_OF_SET_ASIDE), len(found) - len(examples)
    )
