"""Reads lists of radiologists' boxes: NIH's `BBox_List_2017.csv`, and RSNA's label file, which has boxes in it."""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from cxr_spark.datasets import rsna
from cxr_spark.datasets.csv_table import CsvTable, read_csv, shorten
from cxr_spark.datasets.findings import CHEXPERT_FINDINGS, NIH_FINDINGS, finding_named
from cxr_spark.errors import DataError
from cxr_spark.explanation.boxes import Box, BoxList
from cxr_spark.storage.store import read_uri

INDEX, FINDING = "Image Index", "Finding Label"
_SIDES = ("x", "y", "w", "h")
_NOT_LETTERS = re.compile(r"[^a-z]")
_RSNA_SIDES = ("x", "y", "width", "height")


@dataclass(frozen=True)
class Boxes:
    """Radiologists' boxes.

    Attributes:
        uri: the full URI of the list; None where no list was given.
        digest: SHA-256 of the list; None where no list was given.
        listed: all boxes of the list.
        used: the boxes of the model's findings.
    """

    uri: str | None = None
    digest: str | None = None
    listed: BoxList | None = None
    used: BoxList | None = None


def read_boxes(uri: str | None, side: int | None, findings: tuple[str, ...]) -> Boxes:
    """Reads the list that `--boxes` names.

    Args:
        uri: the full URI of the list; None where no list was given.
        side: the side in pixels of the images that the boxes were drawn on; None: it is not the same for all.
        findings: the findings of the model.

    Raises:
        DataError: there is no such list, it is damaged, or it has no box of the model's findings.
    """
    if uri is None:
        return Boxes()
    try:
        content = read_uri(uri)
    except FileNotFoundError:
        raise DataError(f"--boxes {uri}: no such file") from None
    listed = read_box_list(content, uri, side, findings)
    return Boxes(uri, hashlib.sha256(content).hexdigest(), listed, listed.of(findings, uri))


def read_box_list(data: bytes, source: str, side: int | None, findings: Sequence[str]) -> BoxList:
    """Reads a box list in NIH's or RSNA's layout; its header tells which.

    Args:
        data: the file's bytes, gzipped or not.
        source: where they came from, for messages.
        side: side of the images that the boxes were drawn on, pixels; None: it is not the same for all.
        findings: the findings of the model. They decide what RSNA's boxes are called: `Pneumonia` or, for a model of
            RSNA's three classes, `Lung Opacity`.

    Raises:
        DataError: the bytes are no such file, or a box is wrong; names the line and the value.
    """
    csv = read_csv(data, source).spelled((rsna.PATIENT, rsna.TARGET, FINDING))
    if rsna.PATIENT in csv.columns:
        opacity = rsna.CLASSES[0]
        return _rsna_boxes(csv, side, opacity if opacity in findings else rsna.FINDING)
    return _nih_boxes(csv, side, findings)


def _nih_boxes(csv: CsvTable, side: int | None, known: Sequence[str]) -> BoxList:
    """Reads NIH's boxes.

    The header is `Image Index,Finding Label,Bbox [x,y,w,h],,,`: the four numbers are one bracketed name with commas in
    it, and the empty cells at the end have no column.
    """
    csv = csv.with_index(INDEX)
    columns = {_NOT_LETTERS.sub("", name.lower()).removeprefix("bbox"): name for name in csv.columns}
    places = [columns.get(name, f"Bbox {name}") for name in _SIDES]
    csv.require([INDEX, FINDING, *places], "NIH's box list (BBox_List_2017.csv) or RSNA's stage_2_train_labels.csv")
    indices = csv.parsed(INDEX, _not_empty)
    findings = csv.parsed(FINDING, lambda text: _finding(text, known))
    numbers = [csv.parsed(name, _number) for name in places]
    found: dict[str, dict[str, tuple[Box, ...]]] = {}
    for row, (index, finding, *values) in enumerate(zip(indices, findings, *numbers, strict=True)):
        of_image = found.setdefault(index, {})
        of_image[finding] = (*of_image.get(finding, ()), _box(csv, row, values, side))
    return BoxList(found, Counter(findings))


def _rsna_boxes(csv: CsvTable, side: int | None, finding: str) -> BoxList:
    """Reads the boxes of RSNA's label file; patients without an opacity have a row with empty cells."""
    csv.require([rsna.PATIENT, *_RSNA_SIDES], "RSNA's stage_2_train_labels.csv")
    patients = csv.parsed(rsna.PATIENT, _not_empty)
    numbers = [csv.parsed(name, lambda text: _number(text) if text else None) for name in _RSNA_SIDES]
    found: dict[str, dict[str, tuple[Box, ...]]] = {}
    boxes = 0
    for row, (patient, *values) in enumerate(zip(patients, *numbers, strict=True)):
        given = [value for value in values if value is not None]
        if not given:
            continue
        if len(given) < len(_RSNA_SIDES):
            raise csv.error(row, f"{len(given)} of the four numbers of a box: expected all or none")
        of_image = found.setdefault(patient, {})
        of_image[finding] = (*of_image.get(finding, ()), _box(csv, row, given, side))
        boxes += 1
    return BoxList(found, Counter({finding: boxes}))


def _box(csv: CsvTable, row: int, values: Sequence[float], side: int | None) -> Box:
    box = Box(*values)
    if min(box.w, box.h) <= 0 or min(box.x, box.y) < 0 or (side and max(box.x, box.y) >= side):
        room = f" inside of {side} x {side} pixels" if side else ""
        raise csv.error(row, f"box {', '.join(f'{v:g}' for v in box)}: expected x, y from 0 and w, h above 0{room}")
    return box


def _finding(text: str, findings: Sequence[str]) -> str:
    """Returns a finding as the model calls it, else as the label files do; one that none has stays as it is."""
    text = _not_empty(text)
    own = finding_named(text, findings)
    return own or finding_named(text, NIH_FINDINGS) or finding_named(text, CHEXPERT_FINDINGS) or text


def _not_empty(text: str) -> str:
    if not text:
        raise ValueError("is empty")
    return text


def _number(text: str) -> float:
    if not text:
        raise ValueError("is empty or missing, expected a finite number")
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"{shorten(text)!r} is not a number") from None
    if not math.isfinite(value):
        raise ValueError(f"{shorten(text)!r} is not a finite number")
    return value
