"""Checks predictions before anything is computed from them, and counts what there is."""

from __future__ import annotations

from dataclasses import dataclass

from cxr_spark.datasets.matching import told
from cxr_spark.errors import DataError
from cxr_spark.evaluation.image_sets.base import ImageSet
from cxr_spark.evaluation.reading.images import ROUNDING, Truth


@dataclass(frozen=True)
class Inventory:
    """The numbers of images and patients in predictions.

    Attributes:
        n_images: the evaluated images: they have labels and belong to the wanted split.
        n_labelled: the images with labels in all splits together.
        n_unlabelled: the images without a label row, which are left out.
        n_patients: the number of patients of the evaluated images; None where no image names its patient.
        n_without_patient: the evaluated images whose patient is not known; each counts as one patient.
        matched: the number of images whose name in the labels is written differently, for each of `matching.WAYS`.
        n_clipped: scores that left 0..1 by rounding and were put back.
    """

    n_images: int
    n_labelled: int
    n_unlabelled: int
    n_patients: int | None
    n_without_patient: int
    matched: dict[str, int]
    n_clipped: int

    def warnings(self) -> list[str]:
        """Says what was guessed or changed, with number and remedy."""
        said = [
            f"{line}: if these are not the same images, give names that are written alike in both tables"
            for line in told(self.matched.items())
        ]
        if self.n_clipped:
            said.append(f"{self.n_clipped} probabilities left 0..1 by rounding (by {ROUNDING:g} at most): clipped")
        return said


def check_rows(images: ImageSet, source: str) -> str | None:
    """Checks all rows.

    Args:
        images: the images that `opening.open_images` returned.
        source: URI of the predictions, for messages.

    Returns:
        The `model_id` of the predictions; None where the source does not say.

    Raises:
        DataError: no rows, a faulty row, an image twice, or several models.
    """
    found = images.row_facts()
    if found.rows == 0:
        raise DataError(f"{source} has no predictions: the table is empty")
    if found.fault is not None:
        raise DataError(f"{source}: {found.fault}")
    if found.images != found.rows:
        name, times = images.repeated()
        raise DataError(
            f"{source}: image {name!r} has {times} rows ({found.rows - found.images} rows too many in all): "
            "expected one an image"
        )
    if found.models > 1:
        raise DataError(
            f"{source} holds predictions of {found.models} models, {found.model_id!r} the first: score each into "
            "a folder of its own"
        )
    return found.model_id


def take_inventory(images: ImageSet, source: str, split: str | None, truth: Truth | None = None) -> Inventory:
    """Counts the images that are evaluated.

    Args:
        images: checked images.
        source: URI of the predictions, for messages.
        split: the split that is evaluated; None for all.
        truth: labels from a file of their own, for messages.

    Raises:
        DataError: no image has labels, or none is of that split.
    """
    found = images.counts(split)
    if found.labelled == 0:
        other = "" if truth is None else f"; the label file names {truth.facts.column('image_index')[0].as_py()!r}"
        raise DataError(
            f"{source}: no image has labels (the first is {found.first!r}{other}): give the "
            "label file that names these images by --labels, and by --dataset whose it is"
        )
    if found.evaluated == 0:
        there = ", ".join(found.splits[:5]) or "none is named"
        raise DataError(f"{source} has no labelled images of split {split!r} (splits: {there}): choose another --split")
    return Inventory(
        n_images=found.evaluated,
        n_labelled=found.labelled,
        n_unlabelled=found.rows - found.labelled,
        n_patients=found.patients if found.evaluated > found.without_patient else None,
        n_without_patient=found.without_patient,
        matched=found.matched,
        n_clipped=found.clipped,
    )
