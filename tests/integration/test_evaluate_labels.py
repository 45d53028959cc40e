"""Predictions that carry no labels, with the labels of other datasets than NIH's."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import roc_auc_score

from cxr_spark.commands import main as cli
from cxr_spark.datasets.findings import NIH_FINDINGS
from cxr_spark.tables.schema import PREDICTIONS
from tests.support.dataset_folders import write_chexpert, write_classes, write_rsna

RNG = np.random.default_rng(12)


def evaluated(tmp_path, table, *options):
    table.to_csv(tmp_path / "predictions.csv", index=False)
    line = ["evaluate", "--predictions", str(tmp_path / "predictions.csv"), "--out", str(tmp_path / "out")]
    assert cli.main([*line, "--replicates", "0", *options]) == 0
    return json.loads((tmp_path / "out" / "metrics.json").read_text())


@pytest.mark.parametrize(("policy", "value"), [("zeros", 0.0), ("ones", 1.0), ("ignore", np.nan)])
def test_chexpert(spark, tmp_path, policy, value):
    rows = write_chexpert(tmp_path)
    table = pd.DataFrame({"Image Index": rows["Path"], "prob_Edema": RNG.random(len(rows)).round(3)})
    labels = [f"--labels={tmp_path}/CheXpert-v1.0-small/{split}.csv" for split in ("train", "valid")]
    config = tmp_path / "c.yaml"
    config.write_text(f"prepare: {{dataset: chexpert, uncertain: {policy}}}")
    metrics = evaluated(tmp_path, table, *labels, "--config", str(config))
    truth = rows["Edema"].map({"1.0": 1.0, "0.0": 0.0, "": 0.0, "-1.0": value})
    there = truth.notna()
    assert metrics["findings"]["Edema"]["n_positive"] == (truth == 1).sum()
    expected = roc_auc_score(truth[there], table["prob_Edema"][there])
    assert metrics["findings"]["Edema"]["auc"] == pytest.approx(expected, abs=1e-12)
    assert metrics["unmatched"] == {"predictions_without_label": 0, "labels_without_prediction": 0}


def test_rsna_by_the_names_of_its_files(spark, tmp_path):
    rows = write_rsna(tmp_path)
    table = pd.DataFrame({"Image Index": rows["name"] + ".dcm", "prob_Pneumonia": RNG.random(len(rows)).round(3)})
    metrics = evaluated(tmp_path, table, "--dataset=rsna", f"--labels={tmp_path}/stage_2_train_labels.csv")
    expected = roc_auc_score(rows["target"], table["prob_Pneumonia"])
    assert metrics["findings"]["Pneumonia"]["auc"] == pytest.approx(expected, abs=1e-12)


def test_class_folders_with_one_class_an_image(spark, tmp_path):
    write_classes(tmp_path / "set", {"bacterial": 7, "healthy": 9, "viral": 5})
    paths = [path.relative_to(tmp_path / "set").as_posix() for path in sorted((tmp_path / "set").rglob("*.jpeg"))]
    scores = RNG.dirichlet(np.ones(3), len(paths))
    classes = ["bacterial", "healthy", "viral"]
    table = pd.DataFrame({f"prob_{name}": scores[:, i] for i, name in enumerate(classes)})
    table.insert(0, "Image Index", paths)
    options = ["--dataset=folder", f"--labels={tmp_path}/set", "--task=single_label"]
    metrics = evaluated(tmp_path, table[1:], *options)
    truth = np.array([classes.index(path.split("/")[0]) for path in paths])[1:]
    right = (scores[1:].argmax(axis=1) == truth).mean()
    assert metrics["classification"]["most_probable"]["accuracy"] == pytest.approx(right)
    assert metrics["unmatched"] == {"predictions_without_label": 0, "labels_without_prediction": 1}


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [
        (["--dataset=folder", "--labels=nowhere"], 3, "nowhere"),
        (["--dataset=nosuch", "--labels=x.csv"], 2, "nosuch"),
        (["--dataset=chexpert", "--labels=x.csv"], 3, "x.csv: no such file"),
    ],
)
def test_mistakes(spark, tmp_path, monkeypatch, capsys, options, status, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.csv").write_text("Image Index,prob_Edema\na.png,0.5\n")
    assert cli.main(["evaluate", "--predictions", "p.csv", "--out", "out", *options]) == status
    assert said in capsys.readouterr().err


def test_a_model_of_one_dataset_on_another_over_the_findings_that_both_have(spark, tmp_path):
    """Scores as the score job writes them for a model of NIH's findings, against CheXpert's labels."""
    rows = write_chexpert(tmp_path)
    names = rows["Path"].str.removeprefix("CheXpert-v1.0-small/")
    scores = RNG.random((len(rows), len(NIH_FINDINGS))).astype(np.float32)
    nothing = [None] * len(rows)
    columns = {field.name: nothing for field in PREDICTIONS}
    columns |= {"image_index": names, "probabilities": list(scores), "model_id": ["m"] * len(rows)}
    table = pa.table(columns, schema=PREDICTIONS).replace_schema_metadata({"findings": json.dumps(list(NIH_FINDINGS))})
    pq.write_table(table, tmp_path / "scores.parquet")
    labels = [f"--labels={tmp_path}/CheXpert-v1.0-small/{split}.csv" for split in ("train", "valid")]
    options = [f"--predictions={tmp_path}/scores.parquet", f"--out={tmp_path}/out", "--replicates=0"]
    assert cli.main(["evaluate", *options, "--dataset=chexpert", *labels]) == 0
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    shared = {"Effusion": "Pleural Effusion"} | {
        name: name
        for name in ("Atelectasis", "Cardiomegaly", "Pneumonia", "Pneumothorax", "Consolidation", "Edema", "No Finding")
    }
    assert set(metrics["findings"]) == set(shared.values())
    for name, called in shared.items():
        truth = rows[called].map({"1.0": 1.0, "0.0": 0.0, "": 0.0, "-1.0": np.nan})
        there = truth.notna()
        expected = roc_auc_score(truth[there], scores[there, NIH_FINDINGS.index(name)])
        assert metrics["findings"][called]["auc"] == pytest.approx(expected, abs=1e-12)
    assert metrics["findings_called"] == {"Effusion": "Pleural Effusion"}
    left_out = [name for name in NIH_FINDINGS if name not in shared]
    assert metrics["findings_without_labels"] == left_out
    assert any(f"are left out: {', '.join(left_out)}" in line for line in metrics["warnings"])
    assert any("'Effusion' for 'Pleural Effusion'" in line for line in metrics["warnings"])
