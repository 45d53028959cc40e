"""Assigns labelled images to train, val and test. All images of a patient go to one split, since they are alike."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import NamedTuple

import pandas as pd
import pyarrow as pa

from cxr_spark.datasets.base import LabelTable
from cxr_spark.datasets.csv_table import shorten
from cxr_spark.datasets.draws import place_in_draw, units_of
from cxr_spark.datasets.patients import may_share_patients
from cxr_spark.datasets.split_lists import split_by_lists
from cxr_spark.errors import ConfigError, DataError
from cxr_spark.tables.schema import LABELS, SPLITS, TEST, TRAIN, VALIDATION

log = logging.getLogger(__name__)

METHODS = ("official", "patient", "column")
#: The usual names of the splits in a `split` column.
_SYNONYMS: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("train", "training"), TRAIN),
        **dict.fromkeys(("val", "valid", "validate", "validation", "dev"), VALIDATION),
        **dict.fromkeys(("test", "testing"), TEST),
    }
)


class Assignment(NamedTuple):
    """Labels with their split.

    Attributes:
        table: columns of `schema.LABELS`, in the order of the labels; images outside every split are left out.
        notes: the numbers of images and names that did not fit, for the manifest.
        warnings: what the user should know, each with what to do about it.
        may_share_patients: whether one person may be in several splits, because not all patients are known.
    """

    table: pa.Table
    notes: dict[str, int]
    warnings: tuple[str, ...] = ()
    may_share_patients: bool = False


def assign_splits(
    labels: LabelTable,
    method: str,
    *,
    train_list: bytes | None = None,
    test_list: bytes | None = None,
    val_fraction: float = 0.1,
    test_fraction: float = 0.2,
    seed: int = 42,
) -> Assignment:
    """Assigns every image to a split.

    Methods:
        official: `train_list` and `test_list` name the images, and images in neither are left out and counted; without
            lists, the split of the dataset's makers that the labels give.
        patient: a fraction `test_fraction` of all patients is for testing.
        column: the label file's own `split` column (train, val or test, or a common synonym).

    Validation patients are a fraction `val_fraction` of those in training, unless the column names some itself.
    Patients are drawn by the order of a hash of seed and name: the draw depends on the seed and on which patients there
    are, not on the order of rows or the machine, and a fraction is exact to half a patient. An image without a patient
    counts as a patient of its own.

    Args:
        labels: the labels.
        method: one of `METHODS`.
        train_list: text of the list of training (and validation) images, one `image_index` a line.
        test_list: text of the list of test images.
        val_fraction: fraction of the training patients that is set aside for validation, 0 <= f < 1.
        test_fraction: fraction of all patients that `patient` sets aside for testing, 0 <= f < 1.
        seed: seed of the draws.

    Returns:
        The assignment. Notes of `official`: `images_in_no_list` and `list_entries_without_label`. Notes of `column`
        where patients are read from the names of files: `patients_of_one_name`, the number of names that are in two
        splits and are taken for two patients, such as `train/person1` and `test/person1`.

    Raises:
        ConfigError: an unknown method, a fraction out of range, or a list that is missing.
        DataError: a list or column that is not one, an image in both lists, a patient in two splits.
    """
    for name, fraction in (("val_fraction", val_fraction), ("test_fraction", test_fraction)):
        if not 0 <= fraction < 1:
            raise ConfigError(f"{name} is {fraction}: expected at least 0 and less than 1")
    frame = pd.DataFrame({"image_index": labels.table["image_index"].to_pandas()})
    frame["unit"] = _units(labels.table)
    notes: dict[str, int] = {}
    warnings: list[str] = []
    if method == "official" and labels.official_split is not None and train_list is None and test_list is None:
        frame["split"] = _as_given(labels, labels.official_split)
    elif method == "official":
        listed = split_by_lists(labels.table["image_index"].to_pylist(), train_list, test_list)
        frame["split"], notes, warnings = listed.split, listed.notes, listed.warnings
    elif method == "patient":
        frame["split"] = TRAIN
        frame.loc[_drawn(frame["unit"], test_fraction, seed, TEST), "split"] = TEST
    elif method == "column":
        frame["split"] = _by_column(labels)
        if labels.patients_by_name:
            labels, notes, warnings = _told_apart(labels, frame)
    else:
        raise ConfigError(f"split {method!r} is not known: expected one of {', '.join(METHODS)}")

    _refuse_shared_patients(frame, labels.table)
    if not (frame["split"] == VALIDATION).any():
        training = frame.loc[frame["split"] == TRAIN, "unit"]
        frame.loc[_drawn(training, val_fraction, seed, VALIDATION), "split"] = VALIDATION
    table = labels.table.append_column(
        LABELS.field("split"), pa.array(frame["split"], type=pa.string(), from_pandas=True)
    )
    if frame["split"].isna().any():
        table = table.filter(pa.array(frame["split"].notna()))
    sizes = frame["split"].value_counts()
    log.info("split %s: %s", method, ", ".join(f"{name} {sizes.get(name, 0)}" for name in SPLITS))
    shared = may_share_patients(table, method, labels.patients_are_images)
    told = (*([shared] if shared else []), *warnings, *_thin_splits(table, labels.findings))
    return Assignment(table.cast(LABELS), notes, told, shared is not None)


def _thin_splits(table: pa.Table, findings: Sequence[str]) -> Iterator[str]:
    """Warns of an empty validation split, and of findings that images of other splits have and no training image."""
    splits = table["split"].to_numpy()
    if len(splits) and not (splits == VALIDATION).any():
        yield (
            "the validation split is empty, so that training cannot be watched: set prepare.val_fraction above 0, or "
            "name validation images"
        )
    positive = table["labels"].combine_chunks().flatten().to_numpy().reshape(-1, len(findings)) == 1
    inside, outside = positive[splits == TRAIN].any(axis=0), positive[splits != TRAIN].any(axis=0)
    missing = [name for name, here, there in zip(findings, inside, outside, strict=True) if there and not here]
    if missing and (splits == TRAIN).any():
        yield (
            f"{len(missing)} findings have no training image, though other splits have some: "
            f"{', '.join(missing[:20])}; a model cannot learn them: check the folders or lists of the training images"
        )


def split_named(name: str) -> str | None:
    """Returns the split of `schema.SPLITS` that a name or synonym means; None for any other.

    >>> split_named("Validation"), split_named("holdout")
    ('val', None)
    """
    return _SYNONYMS.get(name.strip().lower())


def _units(table: pa.Table) -> list[str]:
    return units_of(table["patient_id"].to_pylist(), table["image_index"].to_pylist())


def _drawn(units: pd.Series[str], fraction: float, seed: int, purpose: str) -> pd.Index[int]:
    """Draws a fraction of the distinct units; returns the index labels of their rows."""
    ordered = sorted(units.unique(), key=lambda unit: place_in_draw(seed, purpose, unit))
    count = round(fraction * len(ordered))
    if fraction > 0:  # few patients: neither side is left empty where two patients are there
        count = min(max(count, 1), len(ordered) - 1)
    rows: pd.Index[int] = units.index[units.isin(ordered[:count])]
    return rows


def _by_column(labels: LabelTable) -> Sequence[str | None]:
    if labels.given_split is None:
        raise DataError(
            "split 'column' needs a column 'split' in the label file (values train, val, test), "
            "or folders of these names"
        )
    return _as_given(labels, labels.given_split)


def _as_given(labels: LabelTable, given: pa.Array) -> Sequence[str | None]:
    values = given.to_pylist()
    splits = [split_named(value or "") for value in values]
    if None in splits:
        row = splits.index(None)
        image = labels.table["image_index"][row].as_py()
        raise DataError(
            f"image {image!r} has the split {shorten(values[row] or '')!r}: expected one of {', '.join(_SYNONYMS)}"
        )
    return splits


def _told_apart(labels: LabelTable, frame: pd.DataFrame) -> tuple[LabelTable, dict[str, int], list[str]]:
    """Renames patients whose name is in two splits, in the labels and among the units of the frame."""
    patients = labels.table["patient_id"].to_pandas()
    splits = frame["split"].groupby(frame["unit"]).nunique()
    shared = frame["unit"].isin(splits.index[splits > 1]) & patients.notna()
    if shared.any():
        patients = patients.where(~shared, frame["split"] + "/" + patients.fillna(""))
        place = labels.table.schema.get_field_index("patient_id")
        column = pa.array(patients, type=pa.string(), from_pandas=True)
        labels = replace(labels, table=labels.table.set_column(place, labels.table.schema.field(place), column))
        frame["unit"] = _units(labels.table)
    names = int((splits > 1).sum())
    told = f"{names} names of patients are in two splits: taken for different people, as the set has them"
    remedy = "; if they are the same, use --split patient"
    return labels, {"patients_of_one_name": names}, [told + remedy] if names else []


def _refuse_shared_patients(frame: pd.DataFrame, table: pa.Table) -> None:
    placed = frame[frame["split"].notna()].drop_duplicates(["unit", "split"])
    shared = placed[placed["unit"].duplicated(keep=False)]
    if shared.empty:
        return
    pair = shared[shared["unit"] == shared["unit"].iloc[0]].iloc[:2]
    (image, split), (other, other_split) = pair[["image_index", "split"]].itertuples(index=False)
    patient = table["patient_id"][int(pair.index[0])].as_py()
    raise DataError(
        f"patient {shorten(patient)!r} is in two splits: {image!r} in {split}, {other!r} in {other_split} "
        f"({shared['unit'].nunique()} such patients): all images of a patient belong in one split"
    )
