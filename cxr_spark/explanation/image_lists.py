"""Reads a list of the images to explain, with the findings that each is explained for. No Spark."""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from cxr_spark.datasets.csv_table import CsvTable, read_csv, shorten
from cxr_spark.datasets.findings import finding_named
from cxr_spark.datasets.image_lists import read_image_list
from cxr_spark.errors import DataError
from cxr_spark.reporting.tables import plain_text
from cxr_spark.storage.store import read_uri

log = logging.getLogger(__name__)

_INDEX, _FINDING = "image_index", "finding"


@dataclass(frozen=True)
class ImageList(Mapping[str, tuple[str, ...]]):
    """The images to explain, each with the findings that it is listed with; none where the list has no findings.

    An image is also found by the name that a CSV file has in place of its own, so that no spreadsheet takes it for a
    formula: see `reporting.tables.plain_text`.

    Attributes:
        listed: the findings by the name of the image in the list.
        digest: SHA-256 of the list.
    """

    listed: Mapping[str, tuple[str, ...]] = field(repr=False)
    digest: str

    def __getitem__(self, name: str) -> tuple[str, ...]:
        return self.listed[name if name in self.listed else plain_text(name)]

    def __iter__(self) -> Iterator[str]:
        return iter(self.listed)

    def __len__(self) -> int:
        return len(self.listed)


def read_images_to_explain(uri: str | None, findings: Sequence[str]) -> ImageList | None:
    """Reads the list that `--image-list` names.

    Args:
        uri: the full URI of a list with one name a line, or of a table of text with a column that names images and, if
            each is to be explained for certain findings, a column `finding`. None where no list was given.
        findings: the findings of the model.

    Raises:
        DataError: there is no such file, it is no such list, or the model knows none of its findings.
    """
    if uri is None:
        return None
    try:
        data = read_uri(uri)
    except FileNotFoundError:
        raise DataError(f"--image-list {uri}: no such file") from None
    digest = hashlib.sha256(data).hexdigest()
    try:
        return ImageList(dict.fromkeys(read_image_list(data, uri), ()), digest)
    except DataError as no_list:  # it has columns, then, or a line that is no name
        table = _table(data, uri, no_list)
    return ImageList(_of_table(table, uri, findings), digest)


def _table(data: bytes, uri: str, no_list: DataError) -> CsvTable:
    """Reads a table with a column that names images; where it is none, tells also why it is no list of one column."""
    expected = "a list of images: one name a line, or a table such as tables/mistakes.csv of an evaluation"
    try:
        csv = read_csv(data, uri).with_index(_INDEX).spelled([_FINDING])
        csv.require([_INDEX], expected)
    except DataError as no_table:
        if str(no_table) == str(no_list):
            raise
        raise DataError(f"{no_table}; read as a list of one name a line: {no_list}") from None
    return csv


def _of_table(csv: CsvTable, uri: str, findings: Sequence[str]) -> dict[str, tuple[str, ...]]:
    names = csv.parsed(_INDEX, _not_empty)
    if _FINDING not in csv.columns:
        return dict.fromkeys(names, ())
    named = csv.parsed(_FINDING, _not_empty)
    listed: dict[str, tuple[str, ...]] = {}
    unknown: Counter[str] = Counter()
    for name, text in zip(names, named, strict=True):
        finding = finding_named(text, findings) or finding_named(text.removeprefix("'"), findings)
        if finding is None:
            unknown[text] += 1
        elif finding not in listed.get(name, ()):
            listed[name] = (*listed.get(name, ()), finding)
    if not listed:
        raise DataError(
            f"{uri}: the model knows none of its findings, such as {shorten(min(unknown))!r}: expected any of "
            f"{', '.join(findings)}"
        )
    if unknown:
        log.warning(
            "--image-list: %d rows are left out, since the model does not know their findings, such as %s",
            unknown.total(),
            shorten(min(unknown)),
        )
    return listed


def _not_empty(text: str) -> str:
    if not text:
        raise ValueError("is empty")
    return text
