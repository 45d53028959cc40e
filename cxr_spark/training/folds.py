"""Folds for cross-validation: the images of train and val, with all images of a patient in one fold.

Driver and ranks each compute the folds from the prepared data alone, and come to the same ones. No Spark here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from cxr_spark.datasets.draws import place_in_draw, units_of
from cxr_spark.tables.prepared import MAY_SHARE_PATIENTS, PreparedDataset
from cxr_spark.tables.schema import TRAIN, VALIDATION
from cxr_spark.training.rank.shards import Index, read_index


class Fold(BaseModel):
    """One training of a cross-validation: which fold it is validated on. It is trained on all others.

    Attributes:
        number: the fold, counted from 1.
        of: the number of folds.
        seed: seed by which images are assigned to folds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    number: int = Field(ge=1)
    of: int = Field(ge=2)
    seed: int = Field(ge=0)


@dataclass(frozen=True)
class FoldAssignment:
    """The images of train and val, each assigned to a fold.

    Attributes:
        images: all of them.
        fold: int64 (N,), the fold of each image, from 1 on.
        patients: the number of patients of each fold, the first fold first.
        unknown: the number of images whose patient is not known; each was taken for a patient of its own.
        may_share_patients: whether one person may be in several folds, because not all patients are known.
    """

    images: Index
    fold: NDArray[np.int64]
    patients: tuple[int, ...]
    unknown: int
    may_share_patients: bool

    def training(self, number: int) -> Index:
        """Returns the images that the model of a fold is trained on."""
        return self.images.chosen(self.fold != number)

    def held_out(self, number: int) -> Index:
        """Returns the images of a fold, which its model is validated on."""
        return self.images.chosen(self.fold == number)

    def warnings(self) -> tuple[str, ...]:
        """Says where patients are not known, so that the folds may share some."""
        if self.unknown:
            return (
                f"FOLDS MAY SHARE PATIENTS: the patient of {self.unknown} of {len(self.images)} images is not known, "
                "and each of these was taken for a patient of its own, so that results may be too good; name the "
                "patients when the data are prepared, by --patient-pattern, or by --patient-column of --dataset csv",
            )
        return (MAY_SHARE_PATIENTS,) if self.may_share_patients else ()


def assign_folds(units: Sequence[str], folds: int, seed: int) -> NDArray[np.int64]:
    """Assigns images to folds of nearly the same size, all images of a unit to one fold.

    Units are assigned in the order of their sizes, the largest first, each to the fold that is the smallest so far
    (Graham 1969, as in scikit-learn's `GroupKFold`). Among units of the same size a hash of seed and name decides the
    order. So the folds depend on the seed and on which units there are, not on the order of the images.

    Args:
        units: what is kept together, for each image: its patient.
        folds: the number of folds.
        seed: another seed gives other folds.

    Returns:
        int64 (N,), the fold of each image, from 1 on.
    """
    names, which, counts = np.unique(
        np.asarray(units, dtype=object).astype(str), return_inverse=True, return_counts=True
    )

    def place(unit: int) -> tuple[int, bytes]:
        return -int(counts[unit]), place_in_draw(seed, "folds", str(names[unit]))

    sizes = np.zeros(folds, np.int64)
    fold_of = np.empty(len(names), np.int64)
    for unit in sorted(range(len(names)), key=place):
        smallest = int(sizes.argmin())
        fold_of[unit] = smallest + 1
        sizes[smallest] += counts[unit]
    return fold_of[which]


def assign_images(dataset: PreparedDataset, folds: int, seed: int) -> FoldAssignment:
    """Assigns the images of train and val of a prepared dataset to folds. Those of test are not touched.

    Args:
        dataset: the prepared dataset.
        folds: the number of folds.
        seed: another seed gives other folds.

    Raises:
        DataError: a file is damaged, or an image is there twice.
    """
    images = read_index(dataset, TRAIN, VALIDATION, patients=True)
    patients = images.patients.tolist()
    units = units_of(patients, images.names.tolist())
    fold = assign_folds(units, folds, seed)
    patients_of = Counter(number for number, _ in set(zip(fold.tolist(), units, strict=True)))
    return FoldAssignment(
        images=images,
        fold=fold,
        patients=tuple(patients_of[number] for number in range(1, folds + 1)),
        unknown=patients.count(None),
        may_share_patients=dataset.may_share_patients,
    )


def images_of(dataset: PreparedDataset, fold: Fold | None) -> tuple[Index, Index]:
    """Returns the training images and the validation images of a training.

    Args:
        dataset: the prepared dataset.
        fold: the training's part in a cross-validation; None for the splits of the dataset as they are.

    Raises:
        DataError: a file is damaged, or an image is there twice.
    """
    if fold is None:
        return read_index(dataset, TRAIN), read_index(dataset, VALIDATION)
    assignment = assign_images(dataset, fold.of, fold.seed)
    return assignment.training(fold.number), assignment.held_out(fold.number)
