"""The CSV reader: what it takes, and that an error names the line of the file."""

from __future__ import annotations

import gzip
import io
import zipfile

import pytest

from cxr_spark.datasets import csv_table
from cxr_spark.datasets.csv_table import read_csv
from cxr_spark.errors import DataError


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("last_end", [True, False])
def test_line_ends_do_not_matter(end: bytes, last_end: bool) -> None:
    table = read_csv(end.join([b"a,b", b"1, 2 ", b"3,4"]) + (end if last_end else b""), "f.csv")
    assert table.columns == {"a": ["1", "3"], "b": ["2", "4"]}
    assert table.lines == [2, 3]


def test_blank_lines_are_skipped_and_counted_in_line_numbers() -> None:
    table = read_csv(b"a,b\n\n1,2\n  \n3,4\n\n", "f.csv")
    assert table.columns["a"] == ["1", "3"]
    assert table.lines == [3, 5]


def test_quoted_cells_may_hold_commas_quotes_and_line_breaks() -> None:
    table = read_csv(b'a,b\n"x,y","say ""hi"""\n"two\nlines",2\n3,4\n', "f.csv")
    assert table.columns["a"] == ["x,y", "two\nlines", "3"]
    assert table.columns["b"][0] == 'say "hi"'
    assert table.lines == [2, 3, 5]


def test_byte_order_mark_is_no_part_of_the_first_name() -> None:
    assert list(read_csv(b"\xef\xbb\xbfa,b\n1,2\n", "f.csv").columns) == ["a", "b"]


def test_gzip_is_known_by_its_bytes_also_in_several_members() -> None:
    data = gzip.compress(b"a,b\n1,2\n") + gzip.compress(b"3,4\n")
    assert read_csv(data, "named-anything.csv").columns["b"] == ["2", "4"]


def test_quoted_bracketed_header_names_cover_their_columns() -> None:
    table = read_csv(b'i,"Size[W,H]","Gap[x,y]"\na,1,2,3,4\n', "f.csv")
    assert table.columns == {"i": ["a"], "Size[W]": ["1"], "Size[H]": ["2"], "Gap[x]": ["3"], "Gap[y]": ["4"]}


def test_trailing_empty_cells_are_ignored() -> None:
    assert read_csv(b"a,b,\n1,2\n3,4,\n5,6,,\n", "f.csv").columns == {"a": ["1", "3", "5"], "b": ["2", "4", "6"]}


@pytest.mark.parametrize(
    ("data", "line"),
    [(b"a,b\n1,2\n3\n", 3), (b"a,b\n1,2\n\n3,4,5\n", 4), (b'a,b\n"x\ny",2\n1,2,3\n', 4)],
)
def test_wrong_number_of_fields_names_the_line(data: bytes, line: int) -> None:
    with pytest.raises(DataError, match=rf"f\.csv, line {line}: \d fields, expected 2"):
        read_csv(data, "f.csv")


@pytest.mark.parametrize("data", [b'a,b\n1,2\n"3,4\n5,6\n', b'a,b\n1,2\n"3"x,4\n', b'a,b\n1,2\n3,"' + b"x" * 200_000])
def test_broken_quotes_name_the_line(data: bytes) -> None:
    with pytest.raises(DataError, match=r"f\.csv, line 3: .*quotes"):
        read_csv(data, "f.csv")


def _zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("x", "y")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "empty"),
        (b" \r\n\n ", "empty"),
        (gzip.compress(b""), "empty"),
        (b"a,b\n", "no rows"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "PNG"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "JPEG"),
        (_zip(), "Excel"),
        ("a,b\n1,2\n".encode("utf-16"), "UTF-16"),
        (b"a,b\n1,\0\n", "NUL at byte 6"),
        (b"a,b\n1,caf\xe9\n", "not UTF-8"),
        (b"\n<!DOCTYPE html><html><body>Sign in, please</body></html>", "HTML"),
        (gzip.compress(b"a,b\n" + b"1,2\n" * 100)[:-12], "truncated"),
        (b"\x1f\x8b\x08" + b"\x07" * 50, "gzip"),
        (b"a,a\n1,2\n", "twice"),
    ],
)
def test_another_kind_of_file_is_named(data: bytes, what: str) -> None:
    with pytest.raises(DataError, match=what) as caught:
        read_csv(data, "hdfs://n/labels.csv")
    assert str(caught.value).startswith("hdfs://n/labels.csv")
    assert "\n" not in str(caught.value)


def test_decompression_bomb_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_table, "MAX_TEXT_BYTES", 10_000)
    bomb = gzip.compress(b"a,b\n" + b"1,2\n" * 10_000)
    with pytest.raises(DataError, match="larger than"):
        read_csv(bomb, "f.csv")


def test_missing_column_lists_what_is_there() -> None:
    table = read_csv(b"a,b\n1,2\n", "f.csv")
    with pytest.raises(DataError, match=r"f\.csv: no column 'c'; the first line has 'a', 'b'\. Expected tea"):
        table.require(["a", "c"], "tea")


def test_parse_names_the_first_row_with_the_bad_value() -> None:
    table = read_csv(b"a\n1\n2\n\nx\nx\n", "f.csv")
    with pytest.raises(DataError, match=r"f\.csv, line 5: a: invalid literal"):
        table.parse("a", int)
