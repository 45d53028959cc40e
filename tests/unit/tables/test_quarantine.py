"""What people can read of the images that a job set aside."""

from __future__ import annotations

import csv
import io

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cxr_spark.errors import DataError
from cxr_spark.storage.store import Store
from cxr_spark.tables.quarantine import examples, read_quarantine
from cxr_spark.tables.schema import QUARANTINE
from cxr_spark.tables.text import spreadsheet_safe

ROWS = [
    {"image_index": "=cmd|' /C calc'!A0.png", "uri": "file:///in/a.png", "reason": "corrupt", "detail": "CRC"},
    {"image_index": "b.png", "uri": "file:///in/b,1.png", "reason": "truncated", "detail": None},
]


def write(folder, rows) -> None:
    folder.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=QUARANTINE), folder / "part-00000-0123.parquet")


@pytest.mark.parametrize("folder", ["quarantine", "_quarantine"])
def test_of_an_output_and_of_the_folder_in_it(tmp_path, folder):
    write(tmp_path / folder, ROWS)
    for uri in (tmp_path, tmp_path / folder):
        rows = [row for table in read_quarantine(Store(f"file://{uri}")) for row in table.to_pylist()]
        assert rows == ROWS


def test_staged_files_do_not_count(tmp_path):
    write(tmp_path / "_quarantine", ROWS)
    write(tmp_path / "_staged" / "_quarantine", ROWS)
    assert sum(table.num_rows for table in read_quarantine(Store(f"file://{tmp_path}"))) == len(ROWS)


def test_an_output_without_quarantine_has_none(tmp_path):
    (tmp_path / "manifest.json").write_text("{}")
    assert list(read_quarantine(Store(f"file://{tmp_path}"))) == []


def test_no_folder(tmp_path):
    with pytest.raises(DataError, match=r"nothing: no such folder"):
        list(read_quarantine(Store(f"file://{tmp_path}/nothing")))


def test_damaged_and_foreign_files(tmp_path):
    (tmp_path / "quarantine").mkdir()
    (tmp_path / "quarantine" / "part-0.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(DataError, match=r"part-0\.parquet cannot be read"):
        list(read_quarantine(Store(f"file://{tmp_path}")))
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "quarantine" / "part-0.parquet")
    with pytest.raises(DataError, match=r"part-0\.parquet is no quarantine: it has no column 'image_index'"):
        list(read_quarantine(Store(f"file://{tmp_path}")))


def test_examples_are_few_and_short(tmp_path):
    rows = [{**ROWS[0], "uri": f"file:///in/{'x' * 900}/{i}.png", "detail": "z\n" * 900} for i in range(1000)]
    write(tmp_path / "quarantine", rows)
    told = examples(Store(f"file://{tmp_path}"))
    assert told.count("corrupt") == 3
    assert len(told) < 1000
    assert "\n" not in told
    assert told.endswith("and 997 more")
    assert "/0.png" in told  # the end of a path tells more than its beginning


def test_examples_of_all(tmp_path):
    write(tmp_path / "quarantine", ROWS)
    assert examples(Store(f"file://{tmp_path}")) == "file:///in/a.png (corrupt: CRC), file:///in/b,1.png (truncated)"


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1"])
def test_a_spreadsheet_takes_no_cell_for_a_formula(text):
    assert spreadsheet_safe(text) == f"'{text}"


@pytest.mark.parametrize("text", ["", "00000001_000.png", "a=b", "Effusion|Mass"])
def test_other_cells_stay(text):
    assert spreadsheet_safe(text) == text


def test_the_command_prints_a_table(tmp_path, capsys):
    from cxr_spark.commands.main import main

    write(tmp_path / "quarantine", ROWS)
    assert main(["quarantine", f"file://{tmp_path}"]) == 0
    printed = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert printed[0]["image_index"] == f"'{ROWS[0]['image_index']}"
    assert printed[1] == {**ROWS[1], "detail": ""}
    assert main(["quarantine", f"file://{tmp_path}", "--limit", "1"]) == 0
    captured = capsys.readouterr()
    assert len(list(csv.DictReader(io.StringIO(captured.out)))) == 1
    assert "1 of 2" in captured.err
    assert main(["quarantine", f"file://{tmp_path}", "--limit", "0"]) == 2
    assert main(["quarantine", f"file://{tmp_path}/nothing"]) == 3
