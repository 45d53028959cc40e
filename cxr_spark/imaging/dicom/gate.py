"""Tells radiographs of the chest from other DICOM images by their headers, before anything is made of the pixels.

The rules look at three elements of DICOM PS3.3: Modality (C.7.3.1.1.1), BodyPartExamined (C.7.3.1) and ViewPosition
(C.8.11.1). An element that is missing or empty says nothing, and the image passes.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal, NamedTuple

from cxr_spark.imaging.dicom.file import is_dicom
from cxr_spark.imaging.dicom.header import WITHOUT_PIXELS_BY_MODALITY, read_header
from cxr_spark.imaging.dicom.person import Person, read_person
from cxr_spark.imaging.rejected import OTHER_BODY_PART, OTHER_MODALITY, OTHER_VIEW, ImageRejected

Action = Literal["refuse", "warn", "take"]

#: Modalities of plain radiographs; DR is not DICOM's, but is written.
RADIOGRAPHS = frozenset({"CR", "DX", "RG", "DR"})
#: Words in the names of body parts that are the chest, of which each vendor writes other ones.
CHEST_WORDS = ("CHEST", "THORAX", "LUNG", "CXR")
#: The names that DICOM and vendors have for the views that most chest models were trained on.
FRONTAL = frozenset({"PA", "AP"})


class Seen(NamedTuple):
    """The result of a look at the header of a file.

    Attributes:
        header: the facts in the header; None where the file is not DICOM, or its header cannot be read.
        doubts: the reasons of `rejected.REASONS` for a warning; the file is not refused for them.
    """

    header: Person | None
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True)
class DicomGate:
    """The rule that refuses, warns of or takes DICOM images that are no frontal chest radiographs.

    Spark sends it to the executors.

    Attributes:
        modality: the action for images of another modality than a plain radiograph, such as CT.
        body_part: the action for images of another part of the body.
        view: the action for images that are neither PA nor AP, such as lateral ones.
    """

    modality: Action = "refuse"
    body_part: Action = "refuse"
    view: Action = "warn"

    def look(self, data: bytes | memoryview) -> Seen:
        """Looks at a file.

        Args:
            data: its contents; other files than DICOM pass.

        Raises:
            ImageRejected: its header says that it is not what is wanted, and that is to be refused; or it is an object
                without pixels, such as a report.
        """
        if not is_dicom(memoryview(data)):
            return Seen(None)
        try:
            header = read_person(bytes(data))
        except ImageRejected:  # whoever reads the pixels says what is wrong
            return Seen(None)
        if header.modality in WITHOUT_PIXELS_BY_MODALITY:
            read_header(memoryview(data))  # raises where it is no image at all, which is what the user should learn
        doubts = []
        for action, (reason, told) in zip((getattr(self, f.name) for f in fields(self)), _odd(header), strict=True):
            if told and action == "refuse":
                raise ImageRejected(reason, told)
            if told and action == "warn":
                doubts.append(reason)
        return Seen(header, tuple(doubts))


def _odd(header: Person) -> tuple[tuple[str, str], tuple[str, str], tuple[str, str]]:
    """Returns, in the order of the fields of `DicomGate`, each reason and what is seen; empty where all is well."""
    modality, part, view = (text.upper() for text in (header.modality, header.body_part, header.view_position))
    is_chest = any(word in part for word in CHEST_WORDS)
    return (
        (
            OTHER_MODALITY,
            f"Modality {header.modality[:40]!r} is no radiograph, expected one of {', '.join(sorted(RADIOGRAPHS))}"
            if modality and modality not in RADIOGRAPHS
            else "",
        ),
        (
            OTHER_BODY_PART,
            f"BodyPartExamined {header.body_part[:40]!r} is not the chest" if part and not is_chest else "",
        ),
        (
            OTHER_VIEW,
            f"ViewPosition {header.view_position[:40]!r} is not frontal, expected PA or AP"
            if view and view not in FRONTAL
            else "",
        ),
    )
