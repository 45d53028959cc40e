"""Reads the label files of CheXpert, `train.csv` and `valid.csv`.

Each of 14 observations is 1 (present), 0 (absent), -1 (the report is uncertain) or blank (not mentioned).
Source: Irvin et al., "CheXpert: A Large Chest Radiograph Dataset with Uncertainty Labels", AAAI 2019.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cxr_spark.datasets.base import LabelFile, LabelTable, label_table, merged
from cxr_spark.datasets.columns import first_rows, read_ages, read_codes, read_sexes
from cxr_spark.datasets.csv_table import CsvTable, read_csv, shorten
from cxr_spark.datasets.findings import CHEXPERT_FINDINGS
from cxr_spark.datasets.uncertain import uncertain_values

PATH, SEX, AGE, PLANE, VIEW = "Path", "Sex", "Age", "Frontal/Lateral", "AP/PA"

_VIEWS = MappingProxyType({"PA": "PA", "AP": "AP"})
_PLANES = MappingProxyType({"LATERAL": "LATERAL"})
#: An image's path from its split on, whatever folder the set was unpacked in.
_IMAGE_PATH = re.compile(r"(?:^|/)((train|valid|test)/(patient[0-9]+)/[^/]+/[^/]+)$")
#: Blank means that the report does not mention it: the paper takes that as absent.
_OBSERVED: Mapping[str, float | None] = MappingProxyType({"": 0.0, "0": 0.0, "1": 1.0, "-1": None})


def read_chexpert_labels(files: Sequence[LabelFile], uncertain: str | Mapping[str, str] = "ignore") -> LabelTable:
    """Reads CheXpert's label files, one or several of them.

    The image index is the path from the folder of the split on, such as `train/patient00001/study1/view1_frontal.jpg`.
    It names the patient and CheXpert's own split, which becomes `given_split`. Views are PA, AP or LATERAL.

    Results on CheXpert are reported for `valid.csv`, which radiologists labelled; so it is the test split where there
    are no test images. Training files alone are split by patient.

    Args:
        files: `train.csv`, `valid.csv` or both.
        uncertain: what uncertain observations become: `zeros`, `ones` or `ignore` (NaN, masked in the loss). It is one
            policy for all findings, or a policy for each named finding; findings that are not named are ignored.

    Returns:
        Labels in the order of `CHEXPERT_FINDINGS`. Notes: `rows`, `duplicates_dropped`, `ages_over_120`,
        `view_positions_unknown`, `sexes_unknown` as for NIH, and `uncertain`, the number of uncertain observations.

    Raises:
        ConfigError: an unknown policy or finding in `uncertain`.
        DataError: a file is of another kind, or a row is wrong; names the line and the value.
    """
    policies = uncertain_values(uncertain, CHEXPERT_FINDINGS, "CheXpert")
    labels = merged([_read_file(file, policies) for file in files])
    splits = labels.given_split.to_pylist() if labels.given_split is not None else []
    if not set(splits) - {"train"}:
        return replace(labels, usual_split="patient")
    held_out = "val" if "test" in splits else "test"
    official = [held_out if split == "valid" else split for split in splits]
    return replace(labels, official_split=pa.array(official, type=pa.string()))


def _read_file(file: LabelFile, policies: NDArray[np.float64]) -> LabelTable:
    csv = read_csv(*file).spelled((PATH, SEX, AGE, PLANE, VIEW, *CHEXPERT_FINDINGS))
    csv.require([PATH, *CHEXPERT_FINDINGS], "CheXpert's label file (train.csv or valid.csv)")
    codes, places = csv.parse(PATH, _place)
    index, splits, patients = (list(part) for part in zip(*(places[code] for code in codes), strict=True))
    observed = np.stack([_observations(csv, name) for name in CHEXPERT_FINDINGS], axis=1)
    labels = np.where(np.isinf(observed), policies, observed).astype(np.float32)
    ages, over = read_ages(csv, AGE)
    sexes, odd_sexes = read_sexes(csv, SEX)
    views, odd_views = read_codes(csv, VIEW, _VIEWS)
    planes, _ = read_codes(csv, PLANE, _PLANES)
    lateral = np.array([plane is not None for plane in planes])

    def describe(row: int) -> str:
        return ",".join(csv.columns[name][row] for name in CHEXPERT_FINDINGS)

    keep = first_rows(csv, index, labels, patients, describe)
    table = label_table(
        index,
        patients,
        labels,
        view_position=[plane or view for plane, view in zip(planes, views, strict=True)],
        sex=sexes,
        age=ages,
    )
    notes = {
        "rows": len(csv),
        "duplicates_dropped": len(csv) - int(keep.sum()),
        "ages_over_120": int(over[keep].sum()),
        "view_positions_unknown": int((odd_views & ~lateral)[keep].sum()),
        "sexes_unknown": int(odd_sexes[keep].sum()),
        "uncertain": int(np.isinf(observed[keep]).sum()),
    }
    mask = pa.array(keep)
    return LabelTable(
        table=table.filter(mask),
        findings=CHEXPERT_FINDINGS,
        notes=notes,
        given_split=pa.array(splits, type=pa.string()).filter(mask),
    )


def chexpert_image_index(uri: str, root: str) -> str:
    """Returns the `image_index` of an image file, whichever folder above it was searched."""
    match = _IMAGE_PATH.search(uri)
    return match[1] if match else uri[len(root) :].lstrip("/")


def _place(text: str) -> tuple[str, str, str]:
    """Returns image index, split and patient."""
    match = _IMAGE_PATH.search(text.replace("\\", "/"))
    if not match:
        raise ValueError(
            f"{shorten(text)!r} is not a path of CheXpert, expected one like "
            "'CheXpert-v1.0/train/patient00001/study1/view1_frontal.jpg'"
        )
    return match[1], match[2], match[3]


def _observations(csv: CsvTable, name: str) -> NDArray[np.float64]:
    """Reads the column of a finding; uncertain cells are infinite."""
    codes, values = csv.parse(name, _observation)
    observed: NDArray[np.float64] = np.array([math.inf if value is None else value for value in values])[codes]
    return observed


def _observation(text: str) -> float | None:
    try:
        return _OBSERVED[text.removesuffix(".0")]
    except KeyError:
        raise ValueError(f"{shorten(text)!r} is not an observation, expected 1.0, 0.0, -1.0 or nothing") from None
