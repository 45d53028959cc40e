"""Predictions of other tools, good and hostile, through the reader, and the evaluate command end to end."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import roc_auc_score

from cxr_spark.commands import main as cli
from cxr_spark.datasets.nih import read_nih_labels
from cxr_spark.errors import DataError
from cxr_spark.evaluation.computation import evaluate
from cxr_spark.evaluation.reading.predictions import read_predictions, with_labels
from cxr_spark.evaluation.reading.tables import open_table

HEADER = "Image Index,Finding Labels,Patient ID,Patient Age,Patient Gender,View Position\n"
LABELS = HEADER + "".join(
    f"img{i}.png,{'Mass|Edema' if i % 3 == 0 else 'Mass' if i % 3 == 1 else 'No Finding'},{i // 2},{20 + i},M,PA\n"
    for i in range(30)
)
MASS = np.array([i % 3 != 2 for i in range(30)])
NONE = ~MASS
RNG = np.random.default_rng(2)
SCORES = pd.DataFrame(
    {
        "Image Index": [f"img{i}.png" for i in range(30)],
        "prob_No Finding": (RNG.random(30) + 0.3 * NONE).round(1) / 2,
        "prob_Mass": (RNG.random(30) + 0.3 * MASS).round(1) / 2,
        "note": "not, used",
    }
)


def run(spark, uri, labels=LABELS):
    table = read_nih_labels(labels.encode(), "labels.csv")
    return evaluate(with_labels(read_predictions(spark, uri), table, "labels.csv"), replicates=0, seed=1).metrics


def write(path, text):
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return f"file://{path}"  # as a user writes it: nothing is percent-encoded


def check(metrics):
    assert list(metrics["findings"]) == ["No Finding", "Mass"]
    for name, truth in (("Mass", MASS), ("No Finding", NONE)):
        expected = roc_auc_score(truth, SCORES[f"prob_{name}"])
        assert metrics["findings"][name]["auc"] == pytest.approx(expected, abs=1e-12)


CSV = SCORES.to_csv(index=False)
#: Ways in which the same table comes out of Excel, pandas, R and shell scripts.
DRESSES = {
    "plain.csv": CSV,
    "upper.CSV": CSV,
    "bom.csv": b"\xef\xbb\xbf" + CSV.encode(),
    "crlf.csv": CSV.replace("\n", "\r\n"),
    "zipped.csv.gz": gzip.compress(CSV.encode()),
    "quoted.csv": SCORES.to_csv(index=False, quoting=1),
    "blanks.csv": CSV.replace(",", " , ").replace("not , used", "not, used").replace("\n", "\n\n"),
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
    names, table = open_table(spark, uri)
    assert names == list(SCORES.columns)
    assert table.count() == len(SCORES)


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


HOSTILE = {
    "duplicate": (CSV + "img3.png,0.5,0.5,x\n", r"'img3.png' has 2 rows"),
    "percent": ("Image Index,prob_Mass\nimg1.png,73.5\n", r"'73.5' for 'Mass': expected a probability"),
    "text": ("Image Index,prob_Mass\nimg1.png,high\n", r"'high' for 'Mass'"),
    "empty cell": ("Image Index,prob_Mass\nimg1.png,\n", r"'' for 'Mass'"),
    "short row": ("Image Index,prob_Mass,prob_Edema\nimg1.png,0.5\n", r"does not fit the header: img1.png,0.5"),
    "long row": ("Image Index,prob_Mass\nimg1.png,0.5,0.5\n", r"does not fit the header"),
    "no name": ("Image Index,prob_Mass\n,0.5\n", r"no image index"),
    "unknown finding": ("Image Index,prob_mass\nimg1.png,0.5\n", r"'mass' is not a finding .* Atelectasis"),
    "no scores": ("Image Index,Mass\nimg1.png,0.5\n", r"columns 'Image Index', 'Mass': expected"),
    "no index": ("image,prob_Mass\nimg1.png,0.5\n", r"expected .* a column 'Image Index'"),
    "semicolons": ("Image Index;prob_Mass\nimg1.png;0,5\n", r"expected .* a column 'Image Index'"),
    "column twice": ("Image Index,prob_Mass,prob_Mass\nimg1.png,0.5,0.6\n", r"column 'prob_Mass' twice"),
    "header only": ("Image Index,prob_Mass\n", r"no predictions"),
    "empty": ("", r"is empty"),
    "none matches": ("Image Index,prob_Mass\nelse.png,0.5\n", r"no image has labels \(the first is 'else.png'\)"),
    "utf-16": (CSV.encode("utf-16"), r"not comma-separated UTF-8"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_csv_gives_one_clear_error(spark, tmp_path, name):
    text, said = HOSTILE[name]
    with pytest.raises(DataError, match=said) as error:
        run(spark, write(tmp_path / "p.csv", text))
    assert "\n" not in str(error.value)


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
        evaluate(read_predictions(spark, (tmp_path / "part.parquet").as_uri()), replicates=0, seed=1)


def test_a_score_job_that_has_not_finished_is_not_evaluated(spark, tmp_path):
    pq.write_table(score_table(), tmp_path / "part.parquet")
    with pytest.raises(DataError, match=r"no _done.json: the score job has not finished"):
        read_predictions(spark, tmp_path.as_uri())


def test_scores_of_raw_images_take_labels_from_a_file(spark, tmp_path):
    pq.write_table(score_table(labels=pa.array([None] * 6, pa.list_(pa.float64()))), tmp_path / "part.parquet")
    metrics = run(spark, (tmp_path / "part.parquet").as_uri())
    assert metrics["findings"]["Mass"]["auc"] == roc_auc_score(MASS[:6], [0.1 * i for i in range(6)])
    assert metrics["model_id"] == "m"


def test_command_writes_everything_once(spark, tmp_path, capsys):
    write(tmp_path / "p.csv", CSV)
    write(tmp_path / "labels.csv", LABELS)
    out = tmp_path / "out"
    line = [
        "evaluate",
        "--predictions",
        str(tmp_path / "p.csv"),
        "--labels",
        str(tmp_path / "labels.csv"),
        "--out",
        str(out),
    ]
    assert cli.main([*line, "--replicates", "50"]) == 0
    metrics = json.loads((out / "metrics.json").read_text())
    check(metrics)
    assert metrics["findings"]["Mass"]["auc_ci95"][0] < metrics["findings"]["Mass"]["auc"]
    assert metrics["labels"] == (tmp_path / "labels.csv").as_uri()
    for name in ("roc.png", "auc.png"):
        assert (out / name).read_bytes().startswith(b"\x89PNG")
    assert "Chest X-ray evaluation" in (out / "report.html").read_text()
    before = (out / "report.html").stat().st_mtime_ns
    assert cli.main([*line, "--replicates", "50"]) == 0
    assert (out / "report.html").stat().st_mtime_ns == before
    assert cli.main([*line, "--replicates", "60"]) == 2
    assert "replicates was 50, is 60" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [
        (["--replicates", "many"], 2, "'many'"),
        (["--labels", "nowhere.csv"], 3, "no such file"),
        (["--predictions", "nowhere.csv"], 3, "no such file"),
        ([], 3, "--labels"),
        (["--out", "."], 2, "folder of its own"),
    ],
)
def test_command_line_mistakes(spark, tmp_path, monkeypatch, capsys, options, status, said):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "p.csv", CSV)
    assert cli.main(["evaluate", "--predictions", "p.csv", "--out", "out", *options]) == status
    errors = capsys.readouterr().err
    assert said in errors
    assert "Traceback" not in errors


def test_real_labels_against_sklearn(spark, real_data, tmp_path):
    data = gzip.decompress((real_data / "labels" / "Data_Entry_2017.csv.gz").read_bytes())
    raw = pd.read_csv(real_data / "labels" / "Data_Entry_2017.csv.gz", index_col=False)
    test = (real_data / "labels" / "test_list.txt").read_text().split()[:4000]
    raw = raw[raw["Image Index"].isin(test)]
    rng = np.random.default_rng(0)
    names = ["Effusion", "Hernia", "No Finding"]
    truth = {name: raw["Finding Labels"].str.split("|").apply(lambda found, name=name: name in found) for name in names}
    scores = pd.DataFrame({f"prob_{name}": ((rng.random(len(raw)) + truth[name]) / 2).round(2) for name in names})
    scores.insert(0, "Image Index", raw["Image Index"].to_numpy())
    uri = write(tmp_path / "p.csv", scores.to_csv(index=False))
    labels = read_nih_labels(data, "Data_Entry_2017.csv")
    metrics = evaluate(with_labels(read_predictions(spark, uri), labels, "x"), replicates=0, seed=1).metrics
    assert metrics["n_images"] == 4000
    assert metrics["n_patients"] == raw["Patient ID"].nunique()
    assert metrics["unmatched"] == {"predictions_without_label": 0, "labels_without_prediction": 112_120 - 4000}
    for name in names:
        expected = roc_auc_score(truth[name], scores[f"prob_{name}"])
        assert metrics["findings"][name]["auc"] == pytest.approx(expected, abs=1e-12)
    assert metrics["subgroups"]["sex"]["F"]["n_images"] == (raw["Patient Gender"] == "F").sum()
