"""Tables of other tools in every form, read as executors read them: no Spark here."""

from __future__ import annotations

import gzip
import io

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cxr_spark.errors import DataError
from cxr_spark.evaluation.reading import tables
from cxr_spark.evaluation.reading.columns import Layout, find_columns
from cxr_spark.evaluation.reading.images import checker
from cxr_spark.evaluation.reading.rows import RowReader, then
from cxr_spark.evaluation.reading.tables import open_table

RNG = np.random.default_rng(2)
SCORES = pd.DataFrame(
    {
        "Image Index": [f"img{i}.png" for i in range(30)],
        "prob_No Finding": RNG.random(30).round(3),
        "prob_Mass": RNG.random(30).round(3),
        "note": "not, used",
    }
)
CSV = SCORES.to_csv(index=False)


def read(path, layout=None, vocabulary=("Mass", "No Finding"), softmax=None):
    """Reads a table as tasks do; returns the checked rows, ordered by image."""
    table = open_table(f"file://{path}")
    columns = find_columns(table, layout or Layout(), vocabulary)
    numbers = [pa.RecordBatch.from_pydict({"id": [i]}) for i in range(len(table.tasks))]
    work = then(RowReader(table, columns, softmax), checker(columns.findings, None))
    rows = pa.Table.from_batches(work(numbers)).to_pandas()
    return rows.set_index("image_index"), columns.findings


def check(path, **options):
    rows, findings = read(path, **options)
    faults = set(rows["fault"].dropna())
    assert not faults
    assert list(rows.index) == list(SCORES["Image Index"])
    for place, name in enumerate(findings):
        np.testing.assert_array_equal([scores[place] for scores in rows["scores"]], SCORES[f"prob_{name}"])
    assert sorted(findings) == ["Mass", "No Finding"]


def fault_of(path, **options):
    rows, _ = read(path, **options)
    return next((fault for fault in rows["fault"] if isinstance(fault, str)), None)


FORMS = {
    "plain.csv": CSV.encode(),
    "plain": CSV.encode(),
    "a:b?.txt": CSV.encode(),
    "bom.csv": b"\xef\xbb\xbf" + CSV.encode(),
    "utf-16.csv": CSV.encode("utf-16"),
    "utf-16.csv.gz": gzip.compress(CSV.encode("utf-16")),
    "zipped.csv": gzip.compress(CSV.encode()),
    "zipped in members.csv": gzip.compress(CSV[:300].encode()) + gzip.compress(CSV[300:].encode()),
    "crlf.csv": CSV.replace("\n", "\r\n").encode(),
    "cr.csv": CSV.replace("\n", "\r").encode(),
    "blank lines.csv": CSV.replace("\n", "\n\n  \n").encode(),
    "blanks.csv": CSV.replace(",", " , ").replace("not , used", "not, used").encode(),
    "quoted.csv": SCORES.to_csv(index=False, quoting=1).encode(),
    "line breaks.csv": CSV.replace("not, used", 'no\n""t\r\n').encode(),
    "trailing cells.csv": CSV.replace("\n", ",,\n").encode(),
    "trailing cells in the header.csv": CSV.replace("note", "note,,").encode(),
    "trailing cells in rows.csv": CSV.replace('used"', 'used",').encode(),
    "tabs.tsv": SCORES.to_csv(index=False, sep="\t").encode(),
    "semicolons.csv": SCORES.to_csv(index=False, sep=";").encode(),
    "decimal comma.csv": SCORES.to_csv(index=False, sep=";", decimal=",").encode(),
    "excel.csv": b"\xef\xbb\xbfsep=;\r\n" + SCORES.to_csv(index=False, sep=";", lineterminator="\r\n").encode(),
    "excel's unicode text.txt": SCORES.to_csv(index=False, sep="\t", decimal=",").encode("utf-16"),
    "header of two lines.csv": CSV.replace("note", '"no\nte"').encode(),
}


@pytest.mark.parametrize("name", FORMS)
def test_one_table_in_every_form(tmp_path, name):
    (tmp_path / name).write_bytes(FORMS[name])
    check(tmp_path / name)


@pytest.mark.parametrize("name", FORMS)
def test_the_slow_reader_reads_the_same_as_the_fast_one(tmp_path, monkeypatch, name):
    """One odd row sends a table to the slow reader, also in the middle of it."""
    monkeypatch.setattr("cxr_spark.evaluation.reading.pieces._BLOCK_BYTES", 200)
    (tmp_path / name).write_bytes(FORMS[name])
    check(tmp_path / name)


NAMINGS = {
    "index": {"Image Index": "image_id"},
    "path": {"Image Index": "Path"},
    "filename": {"Image Index": "filename"},
    "capital": {"prob_Mass": "Prob_Mass", "prob_No Finding": "PROB_no_finding"},
    "alone": {"prob_Mass": "mass", "prob_No Finding": "No_Finding"},
}


@pytest.mark.parametrize("name", NAMINGS)
def test_columns_by_other_names(tmp_path, name):
    SCORES.rename(columns=NAMINGS[name]).to_csv(tmp_path / "p.csv", index=False)
    check(tmp_path / "p.csv")


def test_a_finding_beside_its_probability_is_its_truth_and_not_taken(tmp_path):
    SCORES.assign(Mass=1).to_csv(tmp_path / "p.csv", index=False)
    check(tmp_path / "p.csv")


def test_columns_that_the_user_names(tmp_path):
    odd = SCORES.rename(columns=lambda name: name.replace("prob_", "p.").replace("Image Index", "study"))
    odd.assign(path="x", filename="y").to_csv(tmp_path / "p.csv", index=False)
    check(tmp_path / "p.csv", layout=Layout("study", "p."))
    with pytest.raises(DataError, match=r"a column 'nowhere' \(--index-column\)"):
        read(tmp_path / "p.csv", layout=Layout("nowhere", "p."))
    with pytest.raises(DataError, match=r"'path', 'filename' could all name the images: choose by --index-column"):
        read(tmp_path / "p.csv", layout=Layout(None, "p."))


def test_logits(tmp_path):
    logits = SCORES.copy()
    values = RNG.normal(size=(30, 2)) * 5
    logits["prob_No Finding"], logits["prob_Mass"] = values.T
    logits.to_csv(tmp_path / "p.csv", index=False)
    sigmoids = np.stack(read(tmp_path / "p.csv", softmax=False)[0]["scores"])
    np.testing.assert_allclose(sigmoids, 1 / (1 + np.exp(-values)), rtol=1e-12)
    softmax = np.stack(read(tmp_path / "p.csv", softmax=True)[0]["scores"])
    np.testing.assert_allclose(softmax, np.exp(values) / np.exp(values).sum(axis=1, keepdims=True), rtol=1e-12)
    assert "if these are logits, say so by --logits" in fault_of(tmp_path / "p.csv")


@pytest.mark.parametrize("compression", ["brotli", "zstd", "lz4", "gzip", "snappy"])
@pytest.mark.parametrize("kind", [pa.float16(), pa.float32(), pa.large_string(), pa.decimal128(5, 3)])
def test_parquet_of_every_kind(tmp_path, compression, kind):
    columns = {name: pa.array(SCORES[name]) for name in SCORES}
    columns["Image Index"] = columns["Image Index"].dictionary_encode()
    for name in ("prob_Mass", "prob_No Finding"):
        values = SCORES[name]
        if kind == pa.float16():
            columns[name] = pa.array(values.to_numpy(np.float16))
        elif pa.types.is_large_string(kind):
            columns[name] = pa.array(values.astype(str), kind)
        else:
            columns[name] = columns[name].cast(kind)
    pq.write_table(pa.table(columns), tmp_path / "a:b", compression=compression, row_group_size=7)
    rows, findings = read(tmp_path / "a:b")
    found = pd.DataFrame(np.stack(rows["scores"]), columns=list(findings))
    for name in findings:
        np.testing.assert_allclose(found[name], SCORES[f"prob_{name}"], atol=5e-4 if kind == pa.float16() else 1e-7)


@pytest.mark.parametrize("cell", ["87 %", "87%", "87,5 %", "0.87%"])
@pytest.mark.parametrize("where", ["csv", "parquet"])
def test_percentages_are_refused_in_one_line_that_quotes_the_cell(tmp_path, cell, where):
    frame = SCORES.astype({"prob_Mass": str})
    frame.loc[7, "prob_Mass"] = cell
    if where == "csv":
        frame.to_csv(tmp_path / "p", index=False)
    else:
        frame.to_parquet(tmp_path / "p")
    told = f"image 'img7.png' has {cell!r} for 'Mass': expected a probability from 0 to 1, not a percentage"
    assert told in fault_of(tmp_path / "p")


def test_what_cannot_be_read_is_told_in_one_line(tmp_path):
    good = io.BytesIO()
    SCORES.to_parquet(good)
    damaged = bytearray(good.getvalue())
    damaged[4:200] = bytes(196)
    hostile = {
        "damaged.parquet": bytes(damaged),
        "cut.parquet": good.getvalue()[:-20],
        "no.parquet": b"this is not Parquet",
        "p.json": b'[{"Image Index": "img1.png"}]',
        "p.xlsx": b"PK\x03\x04" + bytes(100),
        "image.csv": b"\x89PNG\r\n\x1a\n" + bytes(30),
        "cut.csv.gz": gzip.compress(CSV.encode())[:-20],
        "latin.csv": CSV.replace("img7", "bild\xe9").encode("latin-1"),
        "quotes.csv": CSV.replace("img7", '"img7').encode(),
        "short.csv": CSV.replace("img7.png,", "").encode(),
        "long.csv": CSV.replace("img7.png,", "img7.png,1,").encode(),
        "text.csv": CSV.replace("img7.png,", "img7.png,high").encode(),
        "empty.csv": b"",
    }
    for name, data in hostile.items():
        (tmp_path / name).write_bytes(data)
        try:
            told = fault_of(tmp_path / name)
        except DataError as error:
            told = str(error)
        assert told, name
        assert "\n" not in told
        assert "Error" not in told


@pytest.mark.parametrize("kind", ["plain", "quoted line breaks"])
def test_a_large_table_is_cut_between_rows_and_lines_are_still_told(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(tables, "TASK_BYTES", 300)
    monkeypatch.setattr(tables, "_SCAN_BYTES", 64)
    text = CSV if kind == "plain" else CSV.replace("not, used", 'a\n ""b"" c\n')
    (tmp_path / "p.csv").write_text(text)
    assert len(open_table(f"file://{tmp_path}/p.csv").tasks) > 3
    check(tmp_path / "p.csv")
    broken = text.replace("img29.png", "img29.png,0.5,0.5,0.5")
    (tmp_path / "q.csv").write_text(broken)
    line = broken[: broken.index("img29")].count("\n") + 1
    assert f"line {line}: 7 fields, expected 4" in fault_of(tmp_path / "q.csv")


def test_parquet_row_groups_are_read_by_several_tasks(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "TASK_BYTES", 300)
    pq.write_table(pa.Table.from_pandas(SCORES), tmp_path / "p.parquet", row_group_size=7)
    assert len(open_table(f"file://{tmp_path}/p.parquet").tasks) == 5
    check(tmp_path / "p.parquet")


def test_a_folder_of_parts(tmp_path):
    for i in range(3):
        SCORES[i * 10 : i * 10 + 10].to_csv(tmp_path / f"part-{i}.csv", index=False)
    (tmp_path / "_SUCCESS").touch()
    check(tmp_path)
    (tmp_path / "part-3.csv").write_text("other,columns\n1,2\n")
    with pytest.raises(DataError, match=r"part-3\.csv has other columns"):
        read(tmp_path)
