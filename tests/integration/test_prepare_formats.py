"""The prepare job on CheXpert, class folders and tables of other layouts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import SparkSession

from tests.support.dataset_folders import OBSERVATIONS, picture, write_chexpert, write_classes, write_image, write_rsna
from tests.support.prepare_runs import labels_of, prepare, rsna_options, run


def test_chexpert(spark: SparkSession, tmp_path: Path) -> None:
    truth = write_chexpert(tmp_path)
    small = tmp_path / "CheXpert-v1.0-small"
    files = f"prepare.labels=[{small}/train.csv, {small}/valid.csv]"
    manifest, rows = prepare(
        "chexpert_densenet121.yaml", tmp_path / "out", f"prepare.images={small}", files, "prepare.val_fraction=0.2"
    )
    truth["image_index"] = truth["Path"].str.removeprefix("CheXpert-v1.0-small/")
    truth = truth.sort_values("image_index").reset_index(drop=True)
    assert rows["image_index"].tolist() == truth["image_index"].tolist()
    assert rows["patient_id"].tolist() == truth["image_index"].str.split("/").str[1].tolist()
    assert rows["age"].tolist() == truth["Age"].astype(float).tolist()
    assert rows["sex"].tolist() == truth["Sex"].str[0].tolist()
    assert rows["view_position"].tolist() == truth["AP/PA"].replace("", "LATERAL").tolist()
    assert ((rows["split"] == "test") == truth["image_index"].str.startswith("valid/")).all()
    validation = rows[rows["split"] == "val"]["patient_id"].unique()
    assert (len(validation), manifest["split"]) == (4, "official")  # of 18
    policy = {"Atelectasis": 1, "Edema": 1, "Cardiomegaly": 0, "Consolidation": 0, "Pleural Effusion": 0}
    assert manifest["findings"] == OBSERVATIONS
    for name, got in zip(OBSERVATIONS, labels_of(rows).T, strict=True):
        expected = truth[name].map({"1.0": 1.0, "0.0": 0.0, "": 0.0, "-1.0": policy.get(name, np.nan)})
        np.testing.assert_array_equal(got, expected.to_numpy(np.float32))
    assert manifest["notes"]["uncertain"] == int((truth[OBSERVATIONS] == "-1.0").sum().sum())
    assert manifest["sources"]["labels"] == [f"file://{small}/train.csv", f"file://{small}/valid.csv"]


def test_class_folders(spark: SparkSession, tmp_path: Path) -> None:
    counts = {"COVID-19": 12, "bacterial": 9, "healthy": 14, "viral": 10}
    write_classes(tmp_path / "covid", counts)
    (tmp_path / "covid" / "healthy" / "broken.jpeg").write_bytes(b"\xff\xd8\xff broken")
    options = [f"prepare.images={tmp_path}/covid", "prepare.max_bad_fraction=0.1"]
    manifest, rows = prepare("covid_vgg16.yaml", tmp_path / "out", *options)
    assert manifest["findings"] == list(counts)
    matrix = labels_of(rows)
    assert (matrix.sum(axis=1) == 1).all()
    assert [list(counts)[i] for i in matrix.argmax(axis=1)] == rows["image_index"].str.split("/").str[0].tolist()
    assert dict(zip(counts, matrix.sum(axis=0), strict=True)) == counts
    assert manifest["quarantined"] == {"truncated": 1}
    assert (manifest["split"], manifest["prepared"]) == ("patient", 45)
    assert manifest["splits"]["test"]["images"] == pytest.approx(0.2 * 45, abs=1)  # of 46, one of them broken
    assert manifest["splits"]["val"]["images"] == pytest.approx(0.1 * 36, abs=1)
    assert (rows[["patient_id", "sex", "age", "view_position"]].isna()).all(axis=None)


def test_class_folders_below_train_and_test(spark: SparkSession, tmp_path: Path) -> None:
    write_classes(
        tmp_path / "chest_xray",
        {
            "train/NORMAL": 9,
            "train/PNEUMONIA": 21,
            "test/NORMAL": 6,
            "test/PNEUMONIA": 8,
            "val/NORMAL": 2,
            "val/PNEUMONIA": 2,
        },
    )
    (tmp_path / "chest_xray" / "train" / ".DS_Store").write_bytes(b"\0")
    both = "prepare.images='" + f"{tmp_path}/chest_xray/" + "{train,test}'"
    manifest, rows = prepare("kermany_small_cnn.yaml", tmp_path / "out", both)
    assert manifest["findings"] == ["PNEUMONIA"]
    assert (labels_of(rows)[:, 0] == rows["image_index"].str.contains("/PNEUMONIA/")).all()
    assert {name: split["images"] for name, split in manifest["splits"].items()} == {"train": 27, "val": 3, "test": 14}
    assert ((rows["split"] == "test") == rows["image_index"].str.startswith("test/")).all()
    assert rows["height"].nunique() > 10

    whole = [f"prepare.images={tmp_path}/chest_xray", "prepare.positive_class=", "prepare.split="]
    manifest, rows = prepare("kermany_small_cnn.yaml", tmp_path / "whole", *whole)
    assert (manifest["findings"], manifest["split"]) == (["NORMAL", "PNEUMONIA"], "column")
    assert {name: split["images"] for name, split in manifest["splits"].items()} == {"train": 30, "val": 4, "test": 14}


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        (["prepare.sample={Pneumonia: 400}"], 3, "prepare.sample asks for 400 images of 'Pneumonia', there are"),
        (["prepare.sample={Effusion: 4}"], 2, "prepare.sample names 'Effusion'"),
        (["prepare.subset={age: [98, 99]}", "prepare.sample={}"], 3, "prepare.subset leaves no image of 12"),
        (["prepare.uncertain=ones"], 2, "prepare.uncertain means nothing to dataset 'rsna'"),
        (["prepare.labels=[]"], 2, "--labels is missing"),
        (["prepare.split=official"], 2, "split 'official' needs"),
    ],
)
def test_what_cannot_be_done_is_one_clear_line(
    spark: SparkSession, tmp_path: Path, capsys: Any, options: list[str], status: int, message: str
) -> None:
    write_rsna(tmp_path, 12)
    few = ["prepare.sample={}", *options]
    assert run("rsna_resnet101.yaml", tmp_path / "out", *rsna_options(tmp_path), *few) == status
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("cxr-spark prepare:")]
    assert len(errors) == 1
    assert message in errors[0]
    assert not (tmp_path / "out" / "data").exists()


def test_covid_metadata_names_its_patients(
    spark: SparkSession, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The columns of metadata.csv of the COVID-19 image data collection (Cohen et al., 2020)."""
    frame = pd.DataFrame(
        {
            "patientid": [number // 2 for number in range(24)],
            "offset": range(24),
            "sex": ["M", "F"] * 12,
            "age": range(30, 54),
            "finding": ["Pneumonia/Viral/COVID-19", "No Finding", "Pneumonia/Bacterial"] * 8,
            "intubated": ["Y", "N", ""] * 8,
            "view": ["PA", "AP Supine", "L", "Coronal"] * 6,
            "modality": ["X-ray"] * 24,
            "folder": ["images"] * 24,
            "filename": [f"{number:02d}.png" for number in range(24)],
        }
    )
    frame.to_csv(tmp_path / "metadata.csv", index=False)
    pictures = [picture() for _ in range(20)]
    for number, name in enumerate(frame["filename"]):
        write_image(tmp_path / "images" / name, pictures[number % 20])  # the last four are the first again
    files = [f"prepare.images={tmp_path}/images", f"prepare.labels={tmp_path}/metadata.csv", "prepare.dataset=csv"]
    manifest, rows = prepare("demo.yaml", tmp_path / "out", *files)
    assert manifest["findings"] == ["Pneumonia/Bacterial", "Pneumonia/Viral/COVID-19", "No Finding"]
    assert rows["patient_id"].tolist() == frame["patientid"].astype(str).tolist()
    assert (rows.groupby("patient_id")["split"].nunique() == 1).all()
    views = frame["view"].map({"PA": "PA", "AP Supine": "AP", "L": "LATERAL"})
    assert rows["view_position"].fillna("").tolist() == views.fillna("").tolist()
    assert not manifest["splits_may_share_patients"]

    frame.drop(columns="patientid").to_csv(tmp_path / "metadata.csv", index=False)
    capsys.readouterr()
    manifest, rows = prepare("demo.yaml", tmp_path / "without", *files)
    assert manifest["splits_may_share_patients"]
    assert rows["patient_id"].isna().all()
    told = "SPLITS MAY SHARE PATIENTS: the patient of 24 of 24 images is not known"
    assert any(line.startswith(told) for line in manifest["warnings"])
    assert told in capsys.readouterr().err

    split = rows.set_index("image_index")["split"]
    copies = [(f"{i:02d}.png", f"{i + 20:02d}.png") for i in range(4)]
    apart = {pair for pair in copies if split[pair[0]] != split[pair[1]]}
    assert manifest["near_duplicates"] == {"pairs": len(apart), "images": 2 * len(apart)}
    assert apart
    found = pd.read_parquet(tmp_path / "without" / "near_duplicates")
    named = zip(found["image_index"], found["other_image_index"], strict=True)
    assert {tuple(sorted(pair)) for pair in named} == apart
    assert any(f"{2 * len(apart)} images are nearly the same" in line for line in manifest["warnings"])
