"""A hospital's own label table, with columns and findings of its own, from images to report."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import roc_auc_score

from cxr_spark.commands.main import main
from tests.support.dataset_folders import picture, write_image

PATIENTS = 30


@pytest.fixture
def hospital(tmp_path: Path) -> pd.DataFrame:
    """Two images a patient in folders of their own, and `register.csv`: semicolons, own names, empty cells."""
    rng = np.random.default_rng(3)
    rows = []
    for number in range(PATIENTS):
        for visit in (1, 2):
            name = f"ward{number % 3}/K{number:03d}-{visit}.png"
            line = rng.random() < 0.5
            write_image(tmp_path / "xrays" / name, picture(bright=line))
            pacemaker = ["1", "0", ""][rng.integers(3)]
            rows.append([name, f"K{number:03d}", "f" if number % 2 else "m", 30 + number, int(line), pacemaker, "free"])
    frame = pd.DataFrame(rows, columns=["Datei", "Fall", "Sex", "Age", "Central line", "Pacemaker", "Remark"])
    frame.to_csv(tmp_path / "register.csv", sep=";", index=False)
    return frame


def test_own_columns_and_findings_from_prepare_to_report(spark, tmp_path: Path, hospital: pd.DataFrame) -> None:
    def run(job: str, *options: str) -> None:
        assert main([job, *options]) == 0

    columns = ("--image-column=Datei", "--patient-column=Fall")
    table = ("--dataset=csv", f"--labels={tmp_path}/register.csv", *columns)
    run("prepare", f"--images={tmp_path}/xrays", *table, f"--out={tmp_path}/data", "--size=64", "--test-fraction=0.4")
    manifest = json.loads((tmp_path / "data" / "manifest.json").read_text())
    assert (manifest["findings"], manifest["prepared"]) == (["Central line", "Pacemaker"], 2 * PATIENTS)
    rows = pd.read_parquet(tmp_path / "data" / "data").set_index("image_index").loc[hospital["Datei"]]
    expected = hospital[["Central line", "Pacemaker"]].replace("", np.nan).astype(float)
    np.testing.assert_array_equal(np.stack(rows["labels"].to_list()), expected)
    assert rows["patient_id"].tolist() == hospital["Fall"].tolist()
    assert (rows.groupby("patient_id")["split"].nunique() == 1).all()
    assert rows["sex"].tolist() == hospital["Sex"].str.upper().tolist()

    small = (
        "model.architecture=googlenet",
        "model.input_size=64",
        "train.epochs=1",
        "train.global_batch=8",
        "train.augmentations=[]",
    )
    run("train", f"--data={tmp_path}/data", f"--out={tmp_path}/run", *(f"--set={each}" for each in small))
    model = f"--model={tmp_path}/run/model"
    run("score", f"--data={tmp_path}/data", model, f"--out={tmp_path}/scores")
    run("evaluate", f"--predictions={tmp_path}/scores", f"--out={tmp_path}/eval", "--replicates=20")
    scored = pq.read_table(tmp_path / "scores").to_pylist()
    labels, probabilities = (np.array([row[name] for row in scored]) for name in ("labels", "probabilities"))
    metrics = json.loads((tmp_path / "eval" / "metrics.json").read_text())
    for place, name in enumerate(manifest["findings"]):
        known = ~np.isnan(labels[:, place])
        auc = roc_auc_score(labels[known, place], probabilities[known, place])
        assert metrics["findings"][name]["auc"] == pytest.approx(auc, abs=1e-12)

    # Another tool's predictions of the same images, evaluated against the register.
    own = hospital[["Datei"]].assign(**{"prob_Central line": np.linspace(0, 1, len(hospital))})
    own.to_csv(tmp_path / "other.csv", index=False)
    run(
        "evaluate", f"--predictions={tmp_path}/other.csv", "--index-column=Datei", *table, f"--out={tmp_path}/other",
        "--replicates=0",
    )  # fmt: skip
    metrics = json.loads((tmp_path / "other" / "metrics.json").read_text())
    auc = roc_auc_score(hospital["Central line"], own["prob_Central line"])
    assert metrics["findings"]["Central line"]["auc"] == pytest.approx(auc, abs=1e-12)

    run("explore", f"--data={tmp_path}/data", f"--out={tmp_path}/explored")
    assert "Central line" in (tmp_path / "explored" / "explore.html").read_text()
    run("explain", f"--data={tmp_path}/data", model, f"--out={tmp_path}/maps", "--finding=Pacemaker", "--limit=1")
    assert len(list((tmp_path / "maps").rglob("*.png"))) == 1
