"""Lists of test and training images for predictions of other tools, and the mean AUC without No Finding."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from cxr_spark.commands import main as cli

RNG = np.random.default_rng(5)
FINDINGS = ("Mass", "Effusion", "No Finding")
NAMES = [f"{i:08d}_000.png" for i in range(90)]


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """Labels in NIH's layout, another tool's predictions of all images, and lists of 40 training and 30 test images."""
    folder = tmp_path_factory.mktemp("lists")
    labels = [FINDINGS[i] for i in RNG.integers(0, 3, len(NAMES))]
    scores = pd.DataFrame(RNG.random((len(NAMES), 3)).round(3), columns=[f"prob_{name}" for name in FINDINGS])
    scores.insert(0, "Image Index", NAMES)
    scores.to_csv(folder / "predictions.csv", index=False)
    header = "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position"
    rows = [f"{name},{label},0,{i // 2},050Y,F,PA" for i, (name, label) in enumerate(zip(NAMES, labels, strict=True))]
    (folder / "labels.csv").write_text("\n".join([header, *rows]))
    (folder / "train.txt").write_text("\n".join(NAMES[:40]))
    (folder / "test.txt").write_text("\n".join(f"images/{name}" for name in NAMES[40:70]))
    return folder, scores, pd.Series(labels)


def evaluated(folder, out, *options) -> dict:
    line = [f"--predictions={folder}/predictions.csv", f"--labels={folder}/labels.csv", f"--out={folder}/{out}"]
    assert cli.main(["evaluate", *line, "--replicates=0", *options]) == 0
    return json.loads((folder / out / "metrics.json").read_text())


def aucs(scores, labels, rows) -> dict[str, float]:
    return {name: roc_auc_score(labels[rows] == name, scores[f"prob_{name}"][rows]) for name in FINDINGS}


@pytest.mark.parametrize("both", [True, False])
def test_only_images_of_the_test_list_are_evaluated_and_the_others_are_told(tables, both):
    folder, scores, labels = tables
    lists = [f"--test-list={folder}/test.txt", *([f"--train-list={folder}/train.txt"] if both else [])]
    metrics = evaluated(folder, f"test{both}", *lists)
    expected = aucs(scores, labels, slice(40, 70))
    assert {name: found["auc"] for name, found in metrics["findings"].items()} == pytest.approx(expected)
    assert (metrics["n_images"], metrics["split"]) == (30, "test")
    others = {"train": 40, "unlisted": 20} if both else {"unlisted": 60}
    assert metrics["images_of_other_splits"] == others
    told = next(line for line in metrics["warnings"] if "not on the test list" in line)
    assert told == "60 of 90 images are not on the test list and are left out: " + (
        "40 on the train list, 20 on no list." if both else "60 on no list."
    )
    assert "60 of 90 images are not on the test list" in (folder / f"test{both}" / "report.html").read_text()
    assert any("by the last parts of their paths" in line for line in metrics["warnings"])


def test_the_training_images_alone(tables):
    folder, scores, labels = tables
    metrics = evaluated(folder, "train", f"--train-list={folder}/train.txt", "--split=train")
    assert metrics["n_images"] == 40
    assert metrics["macro"]["auc"] == pytest.approx(np.mean(list(aucs(scores, labels, slice(0, 40)).values())))


def test_the_mean_without_no_finding_stands_beside_the_mean_of_all(tables):
    folder, scores, labels = tables
    metrics = evaluated(folder, "all")
    expected = aucs(scores, labels, slice(0, 90))
    assert metrics["macro"]["auc"] == pytest.approx(np.mean(list(expected.values())))
    assert metrics["macro_without_no_finding"]["auc"] == pytest.approx((expected["Mass"] + expected["Effusion"]) / 2)
    assert metrics["macro_without_no_finding"]["findings_used"] == 2
    done = json.loads((folder / "all" / "_done.json").read_text())
    assert done["summary"]["macro_auc_without_no_finding"] == metrics["macro_without_no_finding"]["auc"]
    page = (folder / "all" / "report.html").read_text()
    assert "Macro AUC without No Finding" in page
    table = pd.read_csv(folder / "all" / "tables" / "findings.csv").set_index("finding")["auc"]
    assert table["macro without No Finding"] == pytest.approx(metrics["macro_without_no_finding"]["auc"])


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [
        (["--train-list={}/train.txt", "--labels={}/labels.csv"], 2, "give --test-list, too"),
        (["--test-list={}/test.txt"], 2, "--test-list is for predictions that get their labels by --labels"),
        (["--test-list={}/nothing.txt", "--labels={}/labels.csv"], 3, "nothing.txt: no such file"),
        (["--test-list={}/test.txt", "--train-list={}/test.txt", "--labels={}/labels.csv"], 3, "in both"),
    ],
)
def test_lists_that_cannot_be_used_are_told_in_one_line(tables, tmp_path, capsys, options, status, said):
    folder = tables[0]
    given = [option.replace("{}", str(folder)) for option in options]
    assert cli.main(["evaluate", f"--predictions={folder}/predictions.csv", f"--out={tmp_path}/o", *given]) == status
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("cxr-spark evaluate:")]
    assert len(lines) == 1
    assert said in lines[0]


def test_images_of_the_list_without_label_or_prediction_are_counted(tables):
    folder, _, _ = tables
    frame = pd.read_csv(folder / "predictions.csv")
    frame[frame["Image Index"].isin(NAMES[40:60])].to_csv(folder / "some.csv", index=False)
    (folder / "long.txt").write_text("\n".join([*NAMES[40:70], "99999999_000.png"]))
    line = [f"--predictions={folder}/some.csv", f"--labels={folder}/labels.csv", f"--test-list={folder}/long.txt"]
    assert cli.main(["evaluate", *line, f"--out={folder}/some", "--replicates=0"]) == 0
    warnings = json.loads((folder / "some" / "metrics.json").read_text())["warnings"]
    assert any(said.startswith("10 of 30 labelled images of the test list have no prediction") for said in warnings)
    assert any(said.startswith("1 images of the lists have no label") for said in warnings)
