"""Predictions of other tools, in all the forms that they come in, through the reader."""

from __future__ import annotations

import gzip

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import roc_auc_score

from cxr_spark.datasets.nih import read_nih_labels
from cxr_spark.errors import DataError
from cxr_spark.evaluation.computation import evaluate
from cxr_spark.evaluation.reading import tables
from cxr_spark.evaluation.reading.columns import Layout, find_columns
from cxr_spark.evaluation.reading.predictions import read_predictions, with_labels
from cxr_spark.evaluation.reading.rows import ROWS, RowReader
from cxr_spark.evaluation.reading.tables import open_table
from cxr_spark.runtime.spark_schema import to_spark
from tests.support.foreign_tables import CSV, LABELS, MASS, SCORES, check, run, write

#: Ways in which the same table comes out of Excel, pandas, R and shell scripts.
DRESSES = {
    "plain.csv": CSV,
    "upper.CSV": CSV,
    "bom.csv": b"\xef\xbb\xbf" + CSV.encode(),
    "crlf.csv": CSV.replace("\n", "\r\n"),
    "zipped.csv.gz": gzip.compress(CSV.encode()),
    "quoted.csv": SCORES.to_csv(index=False, quoting=1),
    "blanks.csv": CSV.replace(",", " , ").replace("not , used", "not, used").replace("\n", "\n\n"),
    "utf-16.txt": CSV.encode("utf-16"),
    "2024-05-01T12:00:00.csv": CSV,
    "zipped whatever its name.csv": gzip.compress(CSV.encode()),
    "tabs.tsv": SCORES.to_csv(index=False, sep="\t"),
    "semicolons.csv": SCORES.to_csv(index=False, sep=";"),
    "decimal comma.csv": SCORES.to_csv(index=False, sep=";", decimal=","),
    "excel.csv": b"\xef\xbb\xbfsep=;\r\n" + SCORES.to_csv(index=False, sep=";", lineterminator="\r\n").encode(),
    "cr.csv": CSV.replace("\n", "\r"),
    "trailing cells.csv": CSV.replace("\n", ",,\n"),
    "line breaks in quotes.csv": CSV.replace("not, used", "not,\n\nused"),
    "names without suffix": CSV.replace(".png", ""),
    "other suffix": CSV.replace(".png", ".JPG"),
    "paths.csv": CSV.replace("img", "C:\\data\\img"),
    "image_id.csv": CSV.replace("Image Index", "image_id"),
    "Path.csv": CSV.replace("Image Index", "Path").replace("img", "/data/images_001/img"),
    "Prob.csv": CSV.replace("prob_No Finding", "Prob_no_finding").replace("prob_", "PROB_"),
    "rounded.csv": CSV.replace("0.0,", "-0.0000004,"),
    "odd [1] {a} é%20 columns.csv": SCORES.assign(**{"a.b`c": 1, "prob": 2, "": 3}).to_csv(index=False),
}


@pytest.mark.parametrize("name", DRESSES)
def test_csv_of_other_tools(spark, tmp_path, name):
    check(run(spark, write(tmp_path / name, DRESSES[name])))


@pytest.mark.parametrize("kind", ["float64", "float32", "string"])
def test_parquet_of_other_tools(spark, tmp_path, kind):
    table = SCORES.astype({"prob_Mass": kind, "prob_No Finding": kind})
    table.to_parquet(tmp_path / "p.parquet")
    check(run(spark, (tmp_path / "p.parquet").as_uri()))


def test_a_folder_of_csv_parts(spark, tmp_path):
    write(tmp_path / "part-0.csv", SCORES[:10].to_csv(index=False))
    write(tmp_path / "part-1.csv", SCORES[10:].to_csv(index=False))
    write(tmp_path / "_SUCCESS", "")
    check(run(spark, tmp_path.as_uri()))


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("name", ["a[1]", "a{b", "a*", "a?b", "a\\b", "[!x]", "{a,b}", "a%20b", "a#b", "split=x[1]"])
def test_a_folder_of_any_name_is_read_as_it_stands(spark, tmp_path, name, kind):
    """Also beside folders that its name would match as a pattern."""
    for folder in (name, "a1", "ab", "axb", "y"):
        (tmp_path / folder).mkdir()
    write = SCORES.to_csv if kind == "csv" else SCORES.to_parquet
    write(tmp_path / name / f"part-0.{kind}", index=False)
    uri = f"file://{tmp_path}/{name}"
    table = open_table(uri)
    assert list(table.names) == list(SCORES.columns)
    rows = spark.range(len(table.tasks)).mapInArrow(
        RowReader(table, find_columns(table, Layout(), None)), to_spark(ROWS)
    )
    assert rows.count() == len(SCORES)


def test_scores_that_differ_in_the_last_bit_are_not_tied(spark, tmp_path):
    higher, lower = np.nextafter(0.3, 1), 0.3
    table = pd.DataFrame({"Image Index": ["img0.png", "img2.png"], "prob_Mass": [higher, lower]})
    assert run(spark, write(tmp_path / "p.csv", table.to_csv(index=False)))["findings"]["Mass"]["auc"] == 1.0
    table.to_parquet(tmp_path / "p.parquet")
    assert run(spark, (tmp_path / "p.parquet").as_uri())["findings"]["Mass"]["auc"] == 1.0


def test_unmatched_rows_are_counted_and_left_out(spark, tmp_path):
    extra = pd.DataFrame({"Image Index": ["other.png"], "prob_No Finding": [0.9], "prob_Mass": [0.1], "note": [""]})
    metrics = run(spark, write(tmp_path / "p.csv", pd.concat([SCORES[:20], extra]).to_csv(index=False)))
    assert metrics["unmatched"] == {"predictions_without_label": 1, "labels_without_prediction": 10}
    assert metrics["n_images"] == 20
    assert metrics["findings"]["Mass"]["auc"] == pytest.approx(roc_auc_score(MASS[:20], SCORES["prob_Mass"][:20]))


@pytest.mark.parametrize(("names", "way"), [(".JPG", "suffix"), (".PNG", "case"), ("", "suffix"), (".png", None)])
def test_names_that_are_guessed_are_counted_and_told(spark, tmp_path, names, way):
    metrics = run(spark, write(tmp_path / "p.csv", CSV.replace(".png", names)))
    assert metrics["matched_otherwise"] == {"path": 0, "case": 0, "suffix": 0} | ({way: 30} if way else {})
    assert any("30 images were matched" in line for line in metrics["warnings"]) == bool(way)


def test_what_was_guessed_in_the_label_file_is_told(spark, tmp_path):
    metrics = run(spark, write(tmp_path / "p.csv", CSV), LABELS.replace("img", "C:\\x-rays\\img"))
    check(metrics)
    assert metrics["warnings"][0].startswith("labels.csv: 30 images are named by paths, such as 'C:/x-rays/img0.png'")


def test_probabilities_that_left_the_range_by_rounding_are_clipped_and_counted(spark, tmp_path):
    table = pd.DataFrame({"Image Index": ["img0.png", "img2.png"], "prob_Mass": [1 + 5e-7, -5e-7]})
    metrics = run(spark, write(tmp_path / "p.csv", table.to_csv(index=False)))
    assert metrics["probabilities_clipped"] == 2
    assert any("2 probabilities left 0..1 by rounding" in line for line in metrics["warnings"])


def with_options(spark, uri, **options):
    labels = read_nih_labels(LABELS.encode(), "labels.csv")
    task = options.pop("task", None)
    found = read_predictions(uri, layout=Layout(**options), vocabulary=labels.findings, task=task)
    return evaluate(with_labels(found, labels, "labels.csv"), lambda: spark, replicates=0, seed=1, task=task).metrics


def test_columns_named_by_the_finding_alone(spark, tmp_path):
    """Other columns, such as the finding's own truth beside its probability, are not taken for probabilities."""
    plain = SCORES.rename(columns={"prob_Mass": "mass", "prob_No Finding": "No_Finding"})
    check(with_options(spark, write(tmp_path / "p.csv", plain.to_csv(index=False))))
    both = SCORES.assign(Mass=MASS.astype(int))
    check(with_options(spark, write(tmp_path / "q.csv", both.to_csv(index=False))))


def test_columns_that_the_user_names(spark, tmp_path):
    odd = SCORES.rename(columns=lambda name: name.replace("prob_", "p.").replace("Image Index", "study"))
    uri = write(tmp_path / "p.csv", odd.assign(path="x", filename="y").to_csv(index=False))
    check(with_options(spark, uri, index_column="study", prob_prefix="p."))
    with pytest.raises(DataError, match=r"a column 'nowhere' \(--index-column\)"):
        with_options(spark, uri, index_column="nowhere", prob_prefix="p.")


def test_logits_become_probabilities(spark, tmp_path):
    logits = SCORES.copy()
    for name in ("prob_Mass", "prob_No Finding"):
        logits[name] = np.log((SCORES[name] + 0.01) / (1 - SCORES[name] - 0.01))
    uri = write(tmp_path / "p.csv", logits.to_csv(index=False))
    check(with_options(spark, uri, logits=True))
    with pytest.raises(DataError, match="if these are logits, say so by --logits"):
        with_options(spark, uri)
    metrics = with_options(spark, uri, logits=True, task="single_label")
    powers = np.exp(logits[["prob_No Finding", "prob_Mass"]].to_numpy())
    expected = roc_auc_score(MASS, (powers / powers.sum(axis=1, keepdims=True))[:, 1])
    assert metrics["findings"]["Mass"]["auc"] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("compression", ["brotli", "zstd", "lz4", "gzip"])
def test_parquet_that_spark_cannot_read(spark, tmp_path, compression):
    table = pa.table(
        {
            "Image Index": pa.array(SCORES["Image Index"]).dictionary_encode(),
            "prob_No Finding": pa.array(SCORES["prob_No Finding"].to_numpy(np.float32).astype(np.float16)),
            "prob_Mass": pa.array(SCORES["prob_Mass"], pa.large_string() if compression == "lz4" else pa.float64())
            if compression != "lz4"
            else pa.array(SCORES["prob_Mass"].astype(str), pa.large_string()),
            "when": pa.array([1] * 30, pa.time64("ns")),
        }
    )
    pq.write_table(table, tmp_path / "a:b.parquet", compression=compression, row_group_size=7)
    check(run(spark, f"file://{tmp_path}/a:b.parquet"))


@pytest.mark.parametrize("quoted", [False, True])
def test_a_large_table_is_cut_between_rows(spark, tmp_path, monkeypatch, quoted):
    monkeypatch.setattr(tables, "TASK_BYTES", 300)
    monkeypatch.setattr(tables, "_SCAN_BYTES", 64)
    text = CSV.replace("not, used", 'a\nb ""c\n') if quoted else CSV
    uri = write(tmp_path / "p.csv", text)
    assert len(open_table(uri).tasks) > 3
    check(run(spark, uri))
    broken = text.replace("img29.png", "img29.png,0.5,0.5,0.5")
    line = len(text.splitlines()) - (2 if quoted else 0)
    with pytest.raises(DataError, match=rf"line {line}: \d fields"):
        run(spark, write(tmp_path / "q.csv", broken))
