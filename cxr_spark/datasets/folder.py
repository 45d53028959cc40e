"""Takes labels from folders: every image lies in a folder with the name of its one class."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from cxr_spark.datasets.base import LabelTable, label_table
from cxr_spark.datasets.csv_table import shorten
from cxr_spark.datasets.findings import finding_named
from cxr_spark.datasets.folder_layout import find_layout, folder_split
from cxr_spark.errors import ConfigError, DataError

#: The names of images that name the patient, as in the datasets of Kermany et al. (Cell, 2018): person12_virus_3.jpeg,
#: IM-0115-0001.jpeg, NORMAL2-IM-0501-0001-0002.jpeg, BACTERIA-1008087-0001.jpeg.
_PATIENT = re.compile(
    r"(person\d+)_(?:bacteria|virus)_\d+|((?:NORMAL2-)?IM-\d+)-\d+(?:-\d+)?|((?:NORMAL|BACTERIA|VIRUS)-\d+)-\d+"
)


def labels_from_folders(paths: Sequence[str], positive_class: str | None = None) -> LabelTable:
    """Reads labels from the paths of images: `CLASS/image.png`, or `SPLIT/CLASS/image.png`.

    Folders that are named like splits (train, val, test, `Training_Set` and the like), above or below all classes,
    become `given_split`. Other folders below the class are allowed. `folder_layout` tells what is refused or warned of.
    Patients are known where images are named like those of Kermany's datasets; `patients_by_name` is then true.

    Args:
        paths: paths relative to the folder that was searched, as `folder_image_index` gives them; each once.
        positive_class: the only class that becomes a finding; None for all classes.

    Returns:
        One label for each class, in alphabetical order, exactly one of them 1 in each row; or the label of the positive
        class alone. Rows are in the order of the paths. The usual split is that of the folders, or a random one where
        the folders tell none.

    Raises:
        ConfigError: there is no class of that name.
        DataError: an image lies in no class folder, there are fewer than two classes, or the layout is not plain.
    """
    parts = [path.split("/") for path in paths]
    layout = find_layout(parts)
    classes = [part[layout.class_depth] for part in parts]
    findings = tuple(sorted(set(classes)))
    if len(findings) < 2:
        raise DataError(
            f"the images lie in {len(findings)} class folders ({', '.join(findings)}): expected two or more, "
            "give the folder above them as --images"
        )
    position = {name: i for i, name in enumerate(findings)}
    labels = np.zeros((len(paths), len(findings)), dtype=np.float32)
    labels[np.arange(len(paths)), [position[name] for name in classes]] = 1
    if positive_class is not None:
        positive = finding_named(positive_class, findings)
        if positive is None:
            raise ConfigError(
                f"prepare.positive_class {shorten(positive_class)!r} is no class folder: expected one of "
                f"{', '.join(findings)}"
            )
        labels, findings = labels[:, [position[positive]]], (positive,)
    patients = [patient_by_name(part[-1]) for part in parts]
    return LabelTable(
        table=label_table(paths, patients, labels),
        findings=findings,
        notes={"rows": len(paths), "patients_unknown": patients.count(None)},
        patients_by_name=True,
        given_split=None
        if layout.split_depth is None
        else pa.array([folder_split(part[layout.split_depth]) for part in parts], type=pa.string()),
        usual_split="patient" if layout.split_depth is None else "column",
        warnings=layout.warnings,
    )


def folder_image_index(uri: str, root: str) -> str:
    """Returns the path of an image relative to the folder that was searched."""
    return uri[len(root) :].lstrip("/")


def patient_by_name(name: str) -> str | None:
    """Returns the patient that the name of an image file names; None where it names none.

    >>> patient_by_name("person12_virus_3.jpeg"), patient_by_name("IM-0115-0001.jpeg"), patient_by_name("a.png")
    ('person12', 'IM-0115', None)
    """
    match = _PATIENT.fullmatch(name.rpartition(".")[0])
    return next(filter(None, match.groups())) if match else None
