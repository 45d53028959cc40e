"""Tables of predictions that cannot be right: one clear error each."""

from __future__ import annotations

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import roc_auc_score

from cxr_spark.errors import DataError
from cxr_spark.evaluation.computation import evaluate
from cxr_spark.evaluation.reading.predictions import read_predictions
from tests.support.foreign_tables import CSV, MASS, SCORES, run, write

HOSTILE = {
    "duplicate": (CSV + "img3.png,0.5,0.5,x\n", r"'img3.png' has 2 rows"),
    "percent": ("Image Index,prob_Mass\nimg1.png,73.5\n", r"'73.5' for 'Mass': expected a probability"),
    "text": ("Image Index,prob_Mass\nimg1.png,high\n", r"'high' for 'Mass'"),
    "empty cell": ("Image Index,prob_Mass\nimg1.png,\n", r"'' for 'Mass'"),
    "short row": (
        "Image Index,prob_Mass,prob_Edema\nimg1.png,0.5\n",
        r"line 2: 2 fields, expected 3 .* begins 'img1.png,0.5'",
    ),
    "long row": ("Image Index,prob_Mass\nimg1.png,0.5,0.5\n", r"line 2: 3 fields, expected 2"),
    "no name": ("Image Index,prob_Mass\n,0.5\n", r"no image index"),
    "unknown finding": ("Image Index,prob_masses\nimg1.png,0.5\n", r"'masses' is not a finding .* Atelectasis"),
    "no scores": ("Image Index,Mass\nimg1.png,0.5\n", r"columns 'Image Index', 'Mass': expected"),
    "no index": ("image,prob_Mass\nimg1.png,0.5\n", r"expected .* a column 'Image Index'"),
    "semicolons": ("name;prob_Mass\nimg1.png;0,5\n", r"separated by ';'.*expected .* a column 'Image Index'"),
    "two names": ("path,filename,prob_Mass\na,img1.png,0.5\n", r"'path', 'filename' could all name.*--index-column"),
    "two of a finding": ("Image Index,prob_Mass,prob_mass\nimg1.png,0.5,0.6\n", r"two columns are both .*'Mass'"),
    "no number in Parquet's place": ("Image Index,prob_Mass\nimg1.png,NA\n", r"'NA' for 'Mass'"),
    "beyond rounding": ("Image Index,prob_Mass\nimg1.png,1.00001\n", r"'1.00001' for 'Mass'"),
    "one image under two names": ("Image Index,prob_Mass\nimg1.png,0.5\nIMG1.jpg,0.6\n", r"'img1.png' has 2 rows"),
    "not utf-8": (b"Image Index,prob_Mass\nimg\xe9.png,0.5\n", r"not UTF-8 text"),
    "broken quotes": ('Image Index,prob_Mass\n"img1.png,0.5\nimg2.png,0.5\n', r"check the quotes"),
    "json": ('[{"Image Index": "img1.png"}]', r"is JSON"),
    "workbook": (b"PK\x03\x04" + bytes(100), r"Excel workbook"),
    "gzip cut short": (gzip.compress(CSV.encode())[:-20], r"truncated"),
    "column twice": ("Image Index,prob_Mass,prob_Mass\nimg1.png,0.5,0.6\n", r"column 'prob_Mass' is there twice"),
    "header only": ("Image Index,prob_Mass\n", r"no predictions"),
    "empty": ("", r"is empty"),
    "none matches": (
        "Image Index,prob_Mass\nelse.png,0.5\n",
        r"no image has labels \(the first is 'else.png'; the label file names 'img0.png'\)",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_csv_gives_one_clear_error(spark, tmp_path, name):
    text, said = HOSTILE[name]
    with pytest.raises(DataError, match=said) as error:
        run(spark, write(tmp_path / "p.csv", text))
    assert "\n" not in str(error.value)


def test_damaged_parquet_gives_one_clear_error(spark, tmp_path):
    SCORES.to_parquet(tmp_path / "p.parquet")
    data = bytearray((tmp_path / "p.parquet").read_bytes())
    data[4:300] = bytes(296)
    (tmp_path / "p.parquet").write_bytes(data)
    with pytest.raises(DataError) as error:
        run(spark, (tmp_path / "p.parquet").as_uri())
    assert "p.parquet" in str(error.value)
    assert "\n" not in str(error.value)
    assert "java" not in str(error.value).lower()


def test_what_is_no_table_gives_one_clear_error(spark, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad").mkdir()
    write(tmp_path / "bad" / "x.parquet", "this is not Parquet")
    table = pa.table({"Image Index": ["img1.png"], "prob_Mass": [[0.5]]})
    pq.write_table(table, tmp_path / "lists.parquet")
    for name, said in (
        ("missing", "no such file"),
        ("empty", "without data files"),
        ("bad", "cannot read"),
        ("lists.parquet", "expected numbers"),
    ):
        with pytest.raises(DataError, match=said):
            run(spark, (tmp_path / name).as_uri())


def score_table(findings=("Mass", "Edema"), **changes):
    n = 6
    rows = {
        "image_index": [f"img{i}.png" for i in range(n)],
        "labels": [[float(i % 2), float(i % 3 == 0)] for i in range(n)],
        "probabilities": [[0.1 * i, 0.5] for i in range(n)],
        "model_id": ["m"] * n,
        **changes,
    }
    unknown = {name: [None] * n for name in ("patient_id", "view_position", "sex", "split")}
    table = pa.table({**rows, **unknown, "age": pa.array([None] * n, pa.float64())})
    return table.replace_schema_metadata({b"findings": json.dumps(findings)} if findings else None)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"labels": [[1.0, 0.0]] * 5 + [[1.0]]}, "'img5.png' has 1 labels, expected 2"),
        ({"probabilities": [[0.5, 0.5]] * 5 + [[0.5, float("nan")]]}, "'nan' for 'Edema'"),
        ({"model_id": ["m"] * 5 + ["n"]}, "2 models"),
        ({"labels": pa.array([None] * 6, pa.list_(pa.float64()))}, "no image has labels .* --labels"),
        ({"image_index": ["a"] * 6}, "'a' has 6 rows"),
        ({"findings": None}, "does not say which findings"),
    ],
)
def test_damaged_output_of_the_score_job(spark, tmp_path, changes, said):
    pq.write_table(score_table(**changes), tmp_path / "part.parquet")
    with pytest.raises(DataError, match=said):
        evaluate(read_predictions((tmp_path / "part.parquet").as_uri()), lambda: spark, replicates=0, seed=1)


def test_a_score_job_that_has_not_finished_is_not_evaluated(spark, tmp_path):
    pq.write_table(score_table(), tmp_path / "part.parquet")
    with pytest.raises(DataError, match=r"no _done.json: the score job has not finished"):
        read_predictions(tmp_path.as_uri())


def test_scores_of_raw_images_take_labels_from_a_file(spark, tmp_path):
    pq.write_table(score_table(labels=pa.array([None] * 6, pa.list_(pa.float64()))), tmp_path / "part.parquet")
    metrics = run(spark, (tmp_path / "part.parquet").as_uri())
    assert metrics["findings"]["Mass"]["auc"] == roc_auc_score(MASS[:6], [0.1 * i for i in range(6)])
    assert metrics["model_id"] == "m"
