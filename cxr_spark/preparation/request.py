"""The request of a prepare job: which images and labels go into which split, and how they are stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cxr_spark.config import PrepareSettings
from cxr_spark.datasets.joining import Joined
from cxr_spark.datasets.selection import Subset, select
from cxr_spark.datasets.splits import assign_splits
from cxr_spark.imaging.dicom.gate import DicomGate
from cxr_spark.imaging.listing import ImageFiles
from cxr_spark.imaging.resize import ResizeMode
from cxr_spark.preparation.plan import Plan, make_plan
from cxr_spark.preparation.sources import Sources, Texts, recorded_settings


@dataclass(frozen=True)
class Request:
    """What to prepare.

    Attributes:
        plan: the images and their labels, cut into parts.
        findings: the names of the findings, in the order of the labels.
        size: side of the stored images, pixels.
        mode: how an image becomes a square.
        max_bad_fraction: the job fails if more of the wanted images cannot be prepared.
        settings: the settings that the manifest records.
        sources: URIs of what was read, by kind.
        notes: what was dropped or changed in the labels, by kind.
        selection: what `datasets.selection.select` counted.
        ignored: what the search for images left aside, as `imaging.ignored.Ignored.recorded` gives it.
        white_level: the value of a PNG with 16 bits that is white; None for 65535.
        gate: which DICOM images are taken.
        warnings: what was guessed or lost before any image was read, in words.
    """

    plan: Plan
    findings: Sequence[str]
    size: int
    mode: ResizeMode
    max_bad_fraction: float
    settings: Mapping[str, Any]
    sources: Mapping[str, Any]
    notes: Mapping[str, int]
    selection: Mapping[str, Any]
    ignored: Mapping[str, Any] = field(default_factory=dict)
    white_level: int | None = None
    gate: DicomGate = field(default_factory=DicomGate)
    warnings: Sequence[str] = ()


def make_request(
    settings: PrepareSettings,
    sources: Sources,
    texts: Texts,
    found: ImageFiles,
    joined: Joined,
    cores: int,
) -> Request:
    """Selects and splits the labelled images, and cuts them into parts.

    Args:
        settings: the settings of the group `prepare`.
        sources: the URIs of the inputs.
        texts: contents of the lists.
        found: all image files.
        joined: the usable image files and the labels, with all that is known of them, under the same names.
        cores: how many tasks run at the same time.

    Raises:
        DataError: labels and lists do not fit together.
    """
    labels, images = joined.labels, joined.uris
    all_images = labels.table["image_index"]
    subset = Subset(**settings.subset.model_dump())
    labels, selected = select(labels, subset, settings.sample, images=images, seed=settings.seed)
    split = settings.split or labels.usual_split
    assignment = assign_splits(
        labels,
        split,
        **texts.lists,
        val_fraction=settings.val_fraction,
        test_fraction=settings.test_fraction,
        seed=settings.seed,
    )
    return Request(
        plan=make_plan(found, joined.image_index, all_images, assignment.table, size=settings.size, cores=cores),
        findings=labels.findings,
        size=settings.size,
        mode=settings.resize,
        max_bad_fraction=settings.max_bad_fraction,
        settings={
            **recorded_settings(settings),
            "split": split,
            "splits_may_share_patients": assignment.may_share_patients,
        },
        sources=sources.recorded(),
        notes={**labels.notes, **assignment.notes},
        selection=selected,
        white_level=settings.white_level,
        gate=DicomGate(**settings.dicom.model_dump()),
        warnings=(*labels.warnings, *assignment.warnings),
    )
