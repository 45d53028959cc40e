"""Finds out what the columns of any label table mean: by the settings, or by the names and cells of the columns."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from cxr_spark.config.labels import LabelSettings
from cxr_spark.datasets.csv_table import INDEX_NAMES, CsvTable, shorten
from cxr_spark.errors import DataError

log = logging.getLogger(__name__)

IMAGE, PATIENT, SPLIT, VIEW, SEX, AGE, FINDINGS = "image", "patient", "split", "view", "sex", "age", "findings"
_OTHER_IMAGE_NAMES = (
    "image", "images", "file", "imagefile", "imagefilename", "img", "imgid", "imgname", "imgpath", "dicom", "dicomid",
    "dicompath",
)  # fmt: skip
#: The usual names of the column of each meaning, as `_plain` returns them.
NAMES: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        IMAGE: frozenset((*INDEX_NAMES, *_OTHER_IMAGE_NAMES)),
        PATIENT: frozenset(("patientid", "patient", "subjectid", "subject", "personid", "pid", "ptid", "mrn")),
        SPLIT: frozenset(("split", "subset", "partition")),
        VIEW: frozenset(("viewposition", "view", "viewpos", "projection", "appa")),
        SEX: frozenset(("sex", "gender", "patientsex", "patientgender")),
        AGE: frozenset(("age", "patientage", "ageyears", "ageinyears")),
        FINDINGS: frozenset(
            ("findinglabels", "findings", "finding", "labels", "label", "diagnosis", "diagnoses", "class", "classes")
        ),
    }
)
#: The usual name of a column of modalities, and the texts of radiographs there, as `_plain` returns them.
_MODALITY = "modality"
_RADIOGRAPHS = frozenset(("xray", "xr", "cr", "dx", "dr", "rg", "rf", "cxr", "chestxray", "radiograph", "radiography"))
#: The meaning of a cell in the column of a single finding; None means uncertain. pandas writes truth values as words.
INDICATORS: Mapping[str, float | None] = MappingProxyType(
    {"1": 1.0, "0": 0.0, "-1": None, "1.0": 1.0, "0.0": 0.0, "-1.0": None, "true": 1.0, "false": 0.0}
)


@dataclass(frozen=True)
class OwnColumns:
    """The columns of a label table that are used.

    Attributes:
        image: the column with the names of the images.
        facts: the columns of patient, split, view, sex and age, by meaning; those that the table does not have are left
            out.
        findings: the columns of single findings; empty where `names` is set.
        names: the column that names all findings of an image; None where `findings` are set.
    """

    image: str
    facts: Mapping[str, str]
    findings: tuple[str, ...] = ()
    names: str | None = None

    def told(self, csv: CsvTable) -> str:
        """Returns a line that says which column was taken for what, and which were left out."""
        parts = [f"{meaning} {shorten(name)!r}" for meaning, name in {IMAGE: self.image, **self.facts}.items()]
        findings = self.findings or (self.names or "",)
        used = {self.image, *self.facts.values(), *findings}
        others = [name for name in csv.columns if name not in used]
        left = f"; left out: {_listed(others)}" if others else ""
        return f"{csv.source}: columns taken: {', '.join(parts)}, findings {_listed(findings)}{left}"


def choose_columns(csv: CsvTable, settings: LabelSettings) -> OwnColumns:
    """Finds the columns of a label table.

    A column is the one that a setting names, or the only one with a usual name. The findings are the columns that hold
    nothing but 1, 0, -1, true, false and empty cells, or one column that names the findings of each image.

    Args:
        csv: the table.
        settings: which columns the user names.

    Raises:
        DataError: a column is not there, or two could be meant; names the option that decides.
    """
    facts: dict[str, str] = {}
    for meaning in (IMAGE, PATIENT, SPLIT, VIEW, SEX, AGE):
        name = _one(csv, meaning, getattr(settings, f"{meaning}_column"), f"--{meaning}-column")
        if name is not None:
            facts[meaning] = name
    taken: dict[str, str] = {}
    for meaning, name in facts.items():
        if taken.setdefault(name, meaning) != meaning:
            raise DataError(
                f"{csv.source}: column {shorten(name)!r} cannot be both {taken[name]} and {meaning}: name another by "
                f"--{meaning}-column"
            )
    image = facts.pop(IMAGE, None)
    if image is None:
        raise DataError(
            f"{csv.source}: no column names the images: name it by --image-column; the first line has "
            f"{_listed(csv.columns)}"
        )
    findings, names = _findings(csv, settings, taken)
    columns = OwnColumns(image, facts, findings, names)
    log.info("%s", columns.told(csv))
    return columns


def other_modalities(csv: CsvTable) -> list[str]:
    """Returns a warning where a column of modalities names something else than radiographs, such as CT."""
    column = next((name for name in csv.columns if _plain(name) == _MODALITY), None)
    cells = csv.columns[column] if column is not None else []
    odd = Counter(cell for cell in cells if cell and _plain(cell) not in _RADIOGRAPHS)
    if not odd:
        return []
    named = ", ".join(f"{shorten(cell, 40)!r} {count}" for cell, count in odd.most_common(5))
    return [
        f"{csv.source}: column {shorten(column or '')!r} says of {sum(odd.values())} of {len(cells)} rows that they "
        f"are no radiographs ({named}), and they are taken all the same: take their rows out of the table if they "
        "should not be"
    ]


def _one(csv: CsvTable, meaning: str, given: str | None, option: str) -> str | None:
    """Returns the column that a setting names, or the only one with a usual name; None where there is none."""
    if given is not None:
        return _named(csv, given, option)
    found = [name for name in csv.columns if _plain(name) in NAMES[meaning]]
    if len(found) > 1:
        raise DataError(f"{csv.source}: {_listed(found)} could each be the column of {meaning}: choose one by {option}")
    return found[0] if found else None


def _named(csv: CsvTable, given: str, option: str) -> str:
    if given in csv.columns:
        return given
    like = [name for name in csv.columns if _plain(name) == _plain(given)]
    if len(like) != 1:
        raise DataError(f"{csv.source}: no column {given!r} ({option}); the first line has {_listed(csv.columns)}")
    return like[0]


def _findings(csv: CsvTable, settings: LabelSettings, taken: Iterable[str]) -> tuple[tuple[str, ...], str | None]:
    """Returns the columns of single findings, or the column that names findings."""
    if settings.finding_columns:
        return tuple(_named(csv, name, "--finding-columns") for name in settings.finding_columns), None
    if settings.findings_column is not None:
        return (), _named(csv, settings.findings_column, "--findings-column")
    free = [name for name in csv.columns if name not in set(taken) and not _is_row_number(name)]
    single = tuple(name for name in free if _is_single(csv, name))
    named = _one(csv, FINDINGS, None, "--findings-column")
    if named in single:
        named = None
    if single and named is not None:
        raise DataError(
            f"{csv.source}: the findings could be the columns {_listed(single)}, or the names in {shorten(named)!r}: "
            "choose by --finding-columns or --findings-column"
        )
    if not single and named is None:
        raise DataError(
            f"{csv.source}: no column holds findings (1, 0, -1 or nothing, or names of findings): name the columns by "
            f"--finding-columns or --findings-column; the first line has {_listed(csv.columns)}"
        )
    return single, named


def _is_single(csv: CsvTable, name: str) -> bool:
    """Whether a column holds one finding.

    Raises:
        DataError: it mostly does, but not everywhere.
    """
    cells = [cell for cell in csv.columns[name] if cell]
    odd = [cell for cell in cells if cell.lower() not in INDICATORS]
    if odd and 2 * len(odd) < len(cells):
        row = csv.columns[name].index(odd[0])
        named = next((other for other in csv.columns if other != name and _plain(other) in NAMES[FINDINGS]), None)
        instead = f", or say --findings-column {shorten(named)} if that one names the findings" if named else ""
        raise csv.error(
            row,
            f"column {shorten(name)!r} holds {shorten(odd[0])!r}, and mostly 0 and 1 elsewhere: mend the cell if the "
            f"column is a finding, else name the columns of findings by --finding-columns{instead}",
        )
    return bool(cells) and not odd


def _is_row_number(name: str) -> bool:
    return name == "" or name.startswith("Unnamed:")


def _plain(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def _listed(names: Iterable[str]) -> str:
    every: Sequence[str] = list(names)
    return ", ".join(repr(shorten(name, 40)) for name in every[:20]) + (", ..." if len(every) > 20 else "")
