"""Each shipped recipe from raw files to report, on a small set in its dataset's own format.

Only sizes, epochs and paths are cut; the jobs run one after the other in this process, as `pipeline` orders them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import confusion_matrix, roc_auc_score

from cxr_spark.commands.main import main
from cxr_spark.outputs.claim import DONE_NAME
from cxr_spark.recipes.child_jobs import ChildJob
from cxr_spark.sample_data.writer import write_sample_data
from cxr_spark.storage.store import Store
from tests.support.dataset_folders import write_chexpert, write_classes, write_image, write_rsna

CONF = Path(__file__).resolve().parents[2] / "conf"
SMALL = ("model.weights=random", "train.epochs=1", "train.global_batch=8", "evaluate.replicates=20")
SIDE = ("prepare.size=64", "model.input_size=64", "train.augmentations=[random_horizontal_flip]")


def run_here(
    job: ChildJob, out_uri: str, common: list[str], master: str | None, conf: dict[str, str]
) -> dict[str, Any]:
    """Stands in for the process that the pipeline starts for a job."""
    assert main([job.name, f"--out={job.out}", *job.options, *common]) == 0
    return dict(Store(out_uri).read_json(DONE_NAME)["summary"])


@pytest.fixture
def recipe(spark, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    monkeypatch.setattr("cxr_spark.recipes.job.run_child_job", run_here)

    def run(name: str, *changes: str) -> Path:
        every = (*SMALL, *changes, f"pipeline.out={tmp_path}/out")
        assert main(["pipeline", "--config", str(CONF / name), *(f"--set={change}" for change in every)]) == 0
        return tmp_path / "out"

    return run


def metrics_of(out: Path) -> dict[str, Any]:
    return json.loads((out / "evaluation" / "metrics.json").read_text())


def scores_of(out: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    rows = [row for row in pq.read_table(out / "scores").to_pylist() if row["split"] == split]
    return np.array([row["labels"] for row in rows]), np.array([row["probabilities"] for row in rows])


def test_nih(recipe, tmp_path: Path) -> None:
    write_sample_data(Store(f"file://{tmp_path}/nih"), 40, 64, 1)
    labels = f"prepare.labels={tmp_path}/nih/Data_Entry_2017.csv"
    out = recipe("nih_resnet50.yaml", f"prepare.images={tmp_path}/nih", labels, *SIDE, "model.architecture=googlenet")
    metrics = metrics_of(out)
    assert (metrics["split"], set(metrics["classification"])) == ("test", {"0.5", "validation"})
    assert set(metrics["splits"]) == {"val", "test"}
    assert list((out / "run" / "tensorboard").iterdir())
    assert (out / "exploration" / "explore.html").exists()
    assert len(list((out / "explanation").glob("*.png"))) == metrics["n_images"]


def test_nih_convnext(recipe, tmp_path: Path) -> None:
    write_sample_data(Store(f"file://{tmp_path}/nih"), 24, 64, 1)
    labels = f"prepare.labels={tmp_path}/nih/Data_Entry_2017.csv"
    sides = ("prepare.size=32", "model.input_size=32", "pipeline.steps=[prepare, train, score]")
    out = recipe("nih_convnext_tiny.yaml", f"prepare.images={tmp_path}/nih", labels, *sides)
    settings = json.loads((out / "run" / "model" / "metadata.json").read_text())["training"]
    assert (settings["train"]["loss"], settings["train"]["clip_norm"]) == ("asymmetric", 1)
    assert json.loads((out / "scores" / "_done.json").read_text())["summary"]["model"]["tta"] == "flip"


def test_chexpert(recipe, tmp_path: Path) -> None:
    rows = write_chexpert(tmp_path, 32)
    root = tmp_path / "CheXpert-v1.0-small"
    labels = f"prepare.labels=[{root}/train.csv, {root}/valid.csv]"
    out = recipe("chexpert_densenet121.yaml", f"prepare.images={root}", labels, *SIDE, "prepare.val_fraction=0.2")
    metrics = metrics_of(out)
    assert metrics["n_images"] == rows["Path"].str.contains("/valid/").sum()
    assert len(metrics["findings"]) == 14
    assert len(list((out / "explanation").glob("*.png"))) == metrics["n_images"]


def test_covid(recipe, tmp_path: Path) -> None:
    classes = {"COVID-19": 9, "bacterial": 8, "healthy": 10, "viral": 7}
    write_classes(tmp_path / "covid", classes)
    out = recipe("covid_vgg16.yaml", f"prepare.images={tmp_path}/covid", *SIDE, "prepare.test_fraction=0.4")
    labels, probabilities = scores_of(out, "test")
    expected = confusion_matrix(labels.argmax(axis=1), probabilities.argmax(axis=1), labels=range(4))
    found = metrics_of(out)["classification"]["most_probable"]["confusion_matrix"]
    assert found == {"classes": sorted(classes), "counts": expected.tolist()}
    assert (out / "exploration" / "explore.html").exists()


def test_own_table(recipe, tmp_path: Path) -> None:
    """The columns are those of the settings file, the table is written by pandas and has one column more."""
    rng = np.random.default_rng(6)
    findings = ["Effusion", "Pneumothorax", "Central line"]
    rows = []
    for i in range(36):
        write_image(tmp_path / "xrays" / f"ward{i % 3}" / f"{i}.png", rng.integers(0, 255, (40, 40), dtype=np.uint8))
        known = [rng.choice(["1", "0", "-1", ""], p=[0.4, 0.4, 0.1, 0.1]) for _ in findings]
        rows.append([f"ward{i % 3}/{i}.png", f"case {i // 2}", "F", 40 + i, "AP", *known, 1])
    table = pd.DataFrame(rows, columns=["file", "case", "sex", "age", "view", *findings, "on the ward"])
    table.to_csv(tmp_path / "register.csv", sep=";", index=False)
    out = recipe(
        "own_table.yaml",
        f"prepare.images={tmp_path}/xrays",
        f"prepare.labels={tmp_path}/register.csv",
        "prepare.size=32",
        "model.input_size=32",
        "model.architecture=efficientnet_b0",
        "train.augmentations=[random_horizontal_flip]",
        "pipeline.steps=[prepare, train, score, evaluate]",
    )
    scores = pd.read_parquet(out / "scores").set_index("image_index")
    assert {f"prob_{finding}" for finding in findings} <= set(scores)
    expected = table.set_index("file").loc[scores.index]
    for place, finding in enumerate(findings):
        truth = pd.to_numeric(expected[finding]).replace(-1, np.nan)  # uncertain and empty cells are not known
        np.testing.assert_array_equal([labels[place] for labels in scores["labels"]], truth)
    assert scores["patient_id"].tolist() == expected["case"].tolist()
    assert list(metrics_of(out)["findings"]) == findings


def test_kermany(recipe, tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    for split, n in (("train", 20), ("test", 8)):
        for i in range(n):
            image = rng.integers(0, 200, rng.integers(80, 300, 2), dtype=np.uint8)
            kinds = ("PNEUMONIA", f"person{i // 2}_virus_{i}"), ("NORMAL", f"IM-{i:04d}-0001")
            for folder, name in kinds:
                write_image(tmp_path / "set" / split / folder / f"{name}.jpeg", image)
    sides = ("prepare.size=256", "model.input_size=256", "explain.limit=3")
    out = recipe("kermany_small_cnn.yaml", f"prepare.images={tmp_path}/set/{{train,test}}", *sides)
    labels, probabilities = scores_of(out, "test")
    found = metrics_of(out)["classification"]["0.5"]["confusion_matrix"]
    assert found["counts"] == confusion_matrix(labels[:, 0], probabilities[:, 0] >= 0.5).tolist()
    assert found["classes"] == ["no PNEUMONIA", "PNEUMONIA"]
    assert len(list((out / "explanation" / "layers" / "features.conv3").glob("*.png"))) == 3
    explored = json.loads((out / "exploration" / "explore.json").read_text())
    assert explored["findings"] == ["PNEUMONIA", "no PNEUMONIA"]


def test_rsna(recipe, tmp_path: Path) -> None:
    write_rsna(tmp_path, 90)
    labels = f"{tmp_path}/stage_2_train_labels.csv"
    out = recipe(
        "rsna_resnet101.yaml",
        f"prepare.images={tmp_path}/stage_2_train_images",
        f"prepare.labels={labels}",
        f"explain.boxes={labels}",
        "prepare.sample={Pneumonia: 16, none: 20}",
        *SIDE,
    )
    metrics = metrics_of(out)
    for split in ("train", "val", "test"):
        truth, probabilities = scores_of(out, split)
        found = metrics["splits"][split]["findings"]["Pneumonia"]["auc"]
        both = 0 < truth.mean() < 1
        assert found == (pytest.approx(roc_auc_score(truth[:, 0], probabilities[:, 0])) if both else None)
    assert sum(split["n_images"] for split in metrics["splits"].values()) == 36
    localization = json.loads((out / "explanation" / "localization.json").read_text())
    truth, _ = scores_of(out, "test")
    assert localization["findings"]["Pneumonia"]["images"] == truth.sum()
