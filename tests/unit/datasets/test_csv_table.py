"""The CSV reader: what it takes, and that an error names the line of the file."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import subprocess
import sys
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
        (gzip.compress(b"", mtime=0), "empty"),
        (b"a,b\n", "no rows"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "PNG"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "JPEG"),
        (_zip(), "Excel"),
        (b"a,b\n1,\0\n", "NUL at byte 6"),
        (b"a,b\n1,caf\xe9\n", "not UTF-8"),
        (b"\n<!DOCTYPE html><html><body>Sign in, please</body></html>", "HTML"),
        (gzip.compress(b"a,b\n" + b"1,2\n" * 100, mtime=0)[:-12], "truncated"),
        (b"\x1f\x8b\x08" + b"\x07" * 50, "gzip"),
        (b"a,a\n1,2\n", "twice"),
        (b'[{"Image Index": "a.png"}]', "is JSON"),
        (b'{\n "a": 1}', "is JSON"),
        (b"PAR1\x15\x00", "Parquet"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "Excel"),
        (b"\xff\xfea\x00,\x00\x00\xd8a\x00", "UTF-16"),
        (b"\n" * 5000 + b"a,b\n1,2\n3\n", "line 5003: 1 fields"),
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


PLAIN = "name,value,note\na.png,0.5,x\nb.png,1,\n"
COLUMNS = {"name": ["a.png", "b.png"], "value": ["0.5", "1"], "note": ["x", ""]}
#: One table as it comes out of Excel in several countries, R, pandas, shells and Windows' Notepad.
FORMS = {
    "utf-16 little": PLAIN.encode("utf-16"),
    "utf-16 big": b"\xfe\xff" + PLAIN.encode("utf-16-be"),
    "utf-16 without mark": PLAIN.encode("utf-16-le"),
    "utf-16 gzipped": gzip.compress(PLAIN.encode("utf-16")),
    "semicolons": PLAIN.replace(",", ";").encode(),
    "semicolons, decimal comma": PLAIN.replace(",", ";").replace("0.5", "0,5").encode(),
    "tabs": PLAIN.replace(",", "\t").encode(),
    "tabs, decimal comma": PLAIN.replace(",", "\t").replace("0.5", "0,5").encode("utf-16"),
    "bars": PLAIN.replace(",", "|").encode(),
    "sep": b"sep=,\r\n" + PLAIN.replace("\n", "\r\n").encode(),
    "sep of semicolons": b"\xef\xbb\xbfSEP=;\r" + PLAIN.replace(",", ";").replace("\n", "\r").encode(),
    "sep of a rare kind": b"sep=#\n" + PLAIN.replace(",", "#").encode(),
    "blank lines first": b"\n  \r\n" + PLAIN.encode(),
    "missing": PLAIN.replace("1,\n", "1,NA\n").encode(),
    "none": PLAIN.replace("1,\n", "1,None\n").encode(),
    "all quoted": ("\n".join(",".join(f'"{c}"' for c in row.split(",")) for row in PLAIN.split())).encode(),
}


@pytest.mark.parametrize("form", FORMS)
def test_one_table_in_every_form_that_tools_write(form: str) -> None:
    assert read_csv(FORMS[form], "f.csv").columns == COLUMNS


def test_a_last_column_without_a_name_may_have_values() -> None:
    assert read_csv(b"a,\n1,2\n", "f").columns == {"a": ["1"], "": ["2"]}
    assert read_csv(b"a,,\n1,,\n", "f").columns == {"a": ["1"]}


def test_a_comma_within_a_cell_stays_where_commas_separate_or_the_cell_is_no_number() -> None:
    assert read_csv(b'a,b\n"0,5",1\n', "f").columns["a"] == ["0,5"]
    assert read_csv(b"a;b\nx,5;1,2,3\n", "f").columns == {"a": ["x,5"], "b": ["1,2,3"]}


def test_the_separator_is_told_where_a_column_or_a_cell_is_missing() -> None:
    table = read_csv(b"a;b\n1;2\n", "f.csv")
    with pytest.raises(DataError, match=r"the first line, separated by ';', has 'a', 'b'"):
        table.require(["c"], "tea")
    with pytest.raises(DataError, match=r"line 3: 1 fields, expected 2 .*separated by ';'"):
        read_csv(b"a;b\n1;2\n1,2\n", "f.csv")


@pytest.mark.parametrize("name", ["image_id", "path", "Path", "filename", "FileName", "image_index", "Image_Index"])
def test_the_column_of_names_is_found_and_told(name: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    table = read_csv(f"{name},b\na.png,1\n".encode(), "f.csv").with_index("Image Index")
    assert table.columns["Image Index"] == ["a.png"]
    assert ("named by column" in caplog.text) == ("index" not in name.lower())


def test_two_columns_of_names_are_not_guessed_between() -> None:
    table = read_csv(b"path,filename\na,b\n", "f.csv").with_index("Image Index")
    assert list(table.columns) == ["path", "filename"]


def _hostile() -> dict[str, tuple[bytes, str]]:
    row = b",".join(b"c%d" % i for i in range(100_000))
    return {
        "a header of 1e5 columns": (row + b"\n" + row, "names 100,000 columns"),
        "commas": (gzip.compress(b"," * 20_000_000), "longer than"),
        "rows of commas": (gzip.compress((b"a" + b"," * 500_000 + b"\n") * 100), "times its size"),
        "short rows": (gzip.compress(b"a,b\n" * 20_000_000), "times its size"),
        "a row of quoted line breaks": (b"a,b\n" + b'"\n",' * 2_000_000, "longer than"),
        "members": (gzip.compress(b"a,b\n1,2\n") * 200_000 + b"x", "truncated"),
        "empty members": (gzip.compress(b"") * 200_000, "empty"),
        "blank lines": (b"\n" * 5_000_000, "blank lines only"),
        "blank lines later": (b"a,b\n1,2\n" + b" \r\n" * 5_000_000, "more than 100,000 blank lines"),
    }


def test_hostile_tables_are_refused_in_bounded_time_and_memory() -> None:
    """The bounds are what a small machine has; before they took minutes and over 12 GB."""
    code = (
        "import json, pickle, resource, sys, time; resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))\n"
        "from cxr_spark.datasets.csv_table import read_csv\n"
        "from cxr_spark.errors import DataError\n"
        "for name, data in pickle.load(sys.stdin.buffer).items():\n"
        "    started = time.process_time()\n"
        "    try: read_csv(data, 'f.csv')\n"
        "    except DataError as error: print(json.dumps([name, str(error), time.process_time() - started]))"
    )
    cases = _hostile()
    packed = pickle.dumps({name: data for name, (data, _) in cases.items()})
    run = subprocess.run([sys.executable, "-c", code], input=packed, capture_output=True, check=True)
    found = [json.loads(line) for line in run.stdout.splitlines()]
    assert [name for name, _, _ in found] == list(cases)
    for name, message, seconds in found:
        assert cases[name][1] in message, (name, message)
        assert seconds < 20, (name, seconds)


def test_many_gzip_members_that_are_a_table_are_read() -> None:
    data = gzip.compress(b"a,b\n") + gzip.compress(b"1,2\n") * 50_000
    assert len(read_csv(data, "f.csv")) == 50_000
