"""Which images a score or explain job read, as the inputs in its `_done.json` tell it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

#: The most characters of a place in a message.
_MOST_CHARACTERS = 300


@dataclass(frozen=True)
class ImagesRead:
    """The images that a job read.

    Attributes:
        place: the URI of the prepared data, or the folders and globs of raw images.
        digest: SHA-256 of the manifest of the data, or of the list of the files of raw images.
    """

    place: str
    digest: str

    @classmethod
    def of(cls, inputs: Mapping[str, Any]) -> ImagesRead | None:
        """Reads the inputs of a job.

        Args:
            inputs: what `_done.json` names as such.

        Returns:
            The images; None where the inputs do not tell them, as those of `score --incremental` and of other tools.
        """
        data, manifest = inputs.get("data"), inputs.get("manifest")
        if isinstance(data, str) and isinstance(manifest, str):
            return cls(data, manifest)
        images, files = inputs.get("images"), inputs.get("image_files")
        if isinstance(images, list) and isinstance(files, str):
            return cls(", ".join(map(str, images)), files)
        return None

    def told_other(self, other: ImagesRead, own_name: str, other_name: str) -> str | None:
        """Says that other images were read, in a sentence; None where they are the same.

        Args:
            other: the images that another job read.
            own_name: what these images were used for, in the plural, such as `maps`.
            other_name: the same of the other ones.
        """
        if self.digest == other.digest:
            return None
        own, theirs = (each.place[:_MOST_CHARACTERS] for each in (self, other))
        if self.place == other.place:
            return (
                f"the data {own} were changed between the making of the {own_name} and of the {other_name}: images of "
                "the same name may differ"
            )
        return (
            f"the {own_name} are of other data ({own}) than the {other_name} ({theirs}): images of the same name may "
            "differ"
        )
