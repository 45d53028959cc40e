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
from cxr_spark.evaluation.reading import tables
from cxr_spark.evaluation.reading.columns import Layout, find_columns
from cxr_spark.evaluation.reading.predictions import read_predictions, with_labels
from cxr_spark.evaluation.reading.rows import ROWS, RowReader
from cxr_spark.evaluation.reading.tables import open_table
from cxr_spark.runtime.spark_schema import to_spark

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
    return evaluate(
        with_labels(read_predictions(uri), table, "labels.csv"), lambda: spark, replicates=0, seed=1
    ).metrics


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
    table = pd.read_csv(out / "tables" / "findings.csv").set_index("finding")
    assert table["auc"]["Mass"] == metrics["findings"]["Mass"]["auc"]
    assert (out / "tables" / "findings.tex").read_text().startswith("\\begin{tabular}")
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
    metrics = evaluate(with_labels(read_predictions(uri), labels, "x"), lambda: spark, replicates=0, seed=1).metrics
    assert metrics["n_images"] == 4000
    assert metrics["n_patients"] == raw["Patient ID"].nunique()
    assert metrics["unmatched"] == {"predictions_without_label": 0, "labels_without_prediction": 112_120 - 4000}
    for name in names:
        expected = roc_auc_score(truth[name], scores[f"prob_{name}"])
        assert metrics["findings"][name]["auc"] == pytest.approx(expected, abs=1e-12)
    assert metrics["subgroups"]["sex"]["F"]["n_images"] == (raw["Patient Gender"] == "F").sum()
