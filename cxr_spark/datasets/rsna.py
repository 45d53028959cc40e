"""Reads the label files of the RSNA Pneumonia Detection Challenge.

`stage_2_train_labels.csv` has a row for each box, so several for some patients, and a row without a box for patients
without an opacity. `stage_2_detailed_class_info.csv` tells which of the latter are normal and which are ill otherwise.
Each `patientId` has one image, `<patientId>.dcm`, so that it tells images apart and not persons: the images are drawn
from NIH's, which has several of most patients. Patient, sex, age and view are in the headers only.
Source: Shih et al., "Augmenting the National Institutes of Health Chest Radiograph Dataset with Expert Annotations of
Possible Pneumonia", Radiology: Artificial Intelligence, 2019.
"""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from cxr_spark.datasets.base import LabelFile, LabelTable, label_table, merged
from cxr_spark.datasets.columns import first_rows
from cxr_spark.datasets.csv_table import CsvTable, read_csv, shorten
from cxr_spark.datasets.findings import finding_named
from cxr_spark.errors import DataError

PATIENT, TARGET, CLASS, BOX = "patientId", "Target", "class", "x"

#: The finding that a box marks.
FINDING = "Pneumonia"
#: The classes of the detailed file. Images of the first class have boxes.
CLASSES: tuple[str, ...] = ("Lung Opacity", "No Lung Opacity / Not Normal", "Normal")


def read_rsna_labels(files: Sequence[LabelFile]) -> LabelTable:
    """Reads one of the two label files, or both.

    Args:
        files: `stage_2_train_labels.csv`, which gives the finding `Pneumonia`, or `stage_2_detailed_class_info.csv`,
            which gives three classes. Where both are given they must agree, and the classes are taken.

    Returns:
        One row for each patient; image and patient are the `patientId`. Notes: `rows` of all files, and `boxes`.

    Raises:
        DataError: a file is of another kind, a row is wrong, or the files contradict each other.
    """
    tables = [_read_file(file) for file in files]
    targets = [table for table in tables if len(table.findings) == 1]
    classes = [table for table in tables if len(table.findings) > 1]
    whole = [merged(group) for group in (targets, classes) if group]
    if len(whole) == 1:
        return whole[0]
    _check_agreement(*whole)
    notes = {name: sum(table.notes[name] for table in whole) for name in whole[0].notes}
    return replace(whole[1], notes=notes)


def rsna_image_index(uri: str, root: str) -> str:
    """Returns the `patientId` of an image: the name of its file without the suffix.

    Digits after a dot are no suffix but part of a DICOM UID, as in `1.2.840.5`.
    """
    name = posixpath.basename(uri)
    stem, suffix = posixpath.splitext(name)
    return name if suffix[1:].isdigit() else stem


def _read_file(file: LabelFile) -> LabelTable:
    csv = read_csv(*file).spelled((PATIENT, TARGET, CLASS, BOX))
    detailed = CLASS in csv.columns
    csv.require(
        [PATIENT, CLASS if detailed else TARGET], "RSNA's stage_2_train_labels.csv or ..._detailed_class_info.csv"
    )
    patients = csv.parsed(PATIENT, _patient)
    codes, encoded = csv.parse(CLASS, _class) if detailed else csv.parse(TARGET, _target)
    labels: NDArray[np.float32] = np.stack(encoded)[codes]
    keep = first_rows(csv, patients, labels, patients, lambda row: csv.columns[CLASS if detailed else TARGET][row])
    return LabelTable(
        table=label_table(patients, patients, labels).filter(pa.array(keep)),
        findings=CLASSES if detailed else (FINDING,),
        notes={"rows": len(csv), "boxes": _boxes(csv)},
        usual_split="patient",
        patients_are_images=True,
    )


def _boxes(csv: CsvTable) -> int:
    return sum(cell != "" for cell in csv.columns.get(BOX, ()))


def _patient(text: str) -> str:
    if not text:
        raise ValueError("is empty, expected the name of a DICOM file without .dcm")
    return text


def _target(text: str) -> NDArray[np.float32]:
    value = text.removesuffix(".0")
    if value not in ("0", "1"):
        raise ValueError(f"{shorten(text)!r} is not a target, expected 0 or 1")
    return np.array([value == "1"], dtype=np.float32)


def _class(text: str) -> NDArray[np.float32]:
    found = finding_named(text, CLASSES)
    if found is None:
        raise ValueError(f"{shorten(text)!r} is not a class, expected one of {', '.join(CLASSES)}")
    return np.array([found == name for name in CLASSES], dtype=np.float32)


def _check_agreement(targets: LabelTable, classes: LabelTable) -> None:
    frame = _first_label(targets).join(_first_label(classes), rsuffix="_class", how="outer")
    odd = frame[frame["label"] != frame["label_class"]]
    if len(odd):
        raise DataError(
            f"image {shorten(str(odd.index[0]))!r}: the two label files do not agree whether it is {CLASSES[0]!r} "
            f"({len(odd)} such images)"
        )


def _first_label(labels: LabelTable) -> pd.DataFrame:
    frame: pd.DataFrame = labels.table.select(["image_index"]).to_pandas().set_index("image_index")
    frame["label"] = np.stack(labels.table["labels"].to_numpy())[:, 0]
    return frame
