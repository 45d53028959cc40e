"""The evaluate command end to end on predictions of other tools."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from cxr_spark.commands import main as cli
from cxr_spark.datasets.nih import read_nih_labels
from cxr_spark.evaluation.computation import evaluate
from cxr_spark.evaluation.reading.predictions import read_predictions, with_labels
from tests.support.foreign_tables import CSV, LABELS, check, write


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
