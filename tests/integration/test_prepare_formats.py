"""Every shipped settings file prepares a small set in the format that it is made for, against the files themselves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pydicom
import pytest
from pyspark.sql import SparkSession

from cxr_spark.commands.main import main
from tests.support.dataset_folders import OBSERVATIONS, picture, write_chexpert, write_classes, write_image, write_rsna

CONF = Path(__file__).resolve().parents[2] / "conf"


def run(settings: str, out: Path, *options: str) -> int:
    changes = [f"--set={option}" for option in ("prepare.size=32", *options)]
    return main(["prepare", "--config", str(CONF / settings), "--out", str(out), *changes])


def prepare(settings: str, out: Path, *options: str) -> tuple[dict[str, Any], pd.DataFrame]:
    assert run(settings, out, *options) == 0
    rows = pd.read_parquet(out / "data").sort_values("image_index").reset_index(drop=True)
    return json.loads((out / "manifest.json").read_text()), rows


def labels_of(rows: pd.DataFrame) -> Any:
    return np.stack(rows["labels"].to_numpy())


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


def rsna_options(root: Path) -> list[str]:
    return [f"prepare.images={root}/stage_2_train_images", f"prepare.labels={root}/stage_2_train_labels.csv"]


def test_rsna_subset_and_exact_sample(spark: SparkSession, tmp_path: Path) -> None:
    truth = write_rsna(tmp_path)
    sample = "prepare.sample={Pneumonia: 8, none: 12}"
    manifest, rows = prepare("rsna_resnet101.yaml", tmp_path / "out", *rsna_options(tmp_path), sample)
    of_rows = rows.merge(truth, left_on="image_index", right_on="name", validate="1:1", suffixes=("", "_true"))
    assert len(of_rows) == len(rows) == 20
    assert (of_rows["sex"] == of_rows["sex_true"]).all()
    assert (of_rows["age"] == of_rows["age_true"]).all()
    assert (of_rows["view_position"] == "PA").all()
    assert (of_rows["view"] == "PA").all()
    assert of_rows["age"].between(18, 90).all()
    assert (labels_of(of_rows)[:, 0] == of_rows["target"]).all()
    assert int(of_rows["target"].sum()) == 8
    adults = (truth["view"] == "PA") & truth["age"].between(18, 90)
    assert manifest["selection"] == {
        "labels": 48,
        "left_out": {
            "no_image": 0,
            "view_position": int((truth["view"] != "PA").sum()),
            "age": int(((truth["view"] == "PA") & ~truth["age"].between(18, 90)).sum()),
            "sample": int(adults.sum()) - 20,
        },
        "images": 20,
        "classes": {"Pneumonia": 8, "none": 12},
    }
    assert manifest["images_in_no_split"] == 28
    assert manifest["notes"]["boxes"] == sum(len(b) for b, t in zip(truth["boxes"], truth["target"], strict=True) if t)
    for row in rows.head(3).itertuples():
        original = pydicom.dcmread(str(row.uri).removeprefix("file://"))
        assert (row.height, row.width) == (original.Rows, original.Columns)

    again, same = prepare("rsna_resnet101.yaml", tmp_path / "again", *rsna_options(tmp_path), sample)
    assert same["image_index"].tolist() == rows["image_index"].tolist()
    assert again["selection"] == manifest["selection"]


def test_rsna_as_it_comes_with_its_classes_and_bad_files(spark: SparkSession, tmp_path: Path) -> None:
    truth = write_rsna(tmp_path, 24)
    folder = tmp_path / "stage_2_train_images"
    cut = folder / f"{truth['name'][3]}.dcm"
    cut.write_bytes(cut.read_bytes()[:-300])
    (folder / f"{truth['name'][5]}.dcm").write_bytes(b"not DICOM")
    (folder / "unknown.dcm").write_bytes(cut.read_bytes())
    files = f"prepare.labels=[{tmp_path}/stage_2_train_labels.csv, {tmp_path}/stage_2_detailed_class_info.csv]"
    everything = ["prepare.sample={}", "prepare.subset={}", "prepare.max_bad_fraction=0.1"]
    manifest, rows = prepare("rsna_resnet101.yaml", tmp_path / "out", *rsna_options(tmp_path)[:1], files, *everything)
    kept = truth.drop(index=[3, 5]).sort_values("name").reset_index(drop=True)
    assert rows["image_index"].tolist() == kept["name"].tolist()
    assert [manifest["findings"][i] for i in labels_of(rows).argmax(axis=1)] == kept["kind"].tolist()
    assert manifest["quarantined"] in ({"corrupt": 1, "not_an_image": 1}, {"not_an_image": 1, "truncated": 1})
    assert (manifest["images_without_label"], manifest["notes"]["headers_unreadable"]) == (1, 1)
    assert manifest["selection"] == {}


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


def test_patients_of_dicom_files_come_from_their_headers(spark: SparkSession, tmp_path: Path) -> None:
    """RSNA's labels name an image, and a table of one's own may name no patient: the header tells who it is."""
    truth = write_rsna(tmp_path, 24)
    for number, name in enumerate(truth["name"]):
        path = tmp_path / "stage_2_train_images" / f"{name}.dcm"
        dataset = pydicom.dcmread(path)
        dataset.PatientID = f"person{number // 3}"
        dataset.save_as(path)
    truth["patient"] = [f"person{number // 3}" for number in range(24)]
    everything = ["prepare.sample={}", "prepare.subset={}", "prepare.test_fraction=0.3"]
    manifest, rows = prepare("rsna_resnet101.yaml", tmp_path / "rsna", *rsna_options(tmp_path), *everything)
    own = truth[["name", "target"]].rename(columns={"name": "image", "target": "Opacity"})
    own.to_csv(tmp_path / "own.csv", index=False)
    files = [f"prepare.images={tmp_path}/stage_2_train_images", f"prepare.labels={tmp_path}/own.csv"]
    own_manifest, own_rows = prepare("demo.yaml", tmp_path / "own", *files, "prepare.dataset=csv")
    for found, told in ((rows, manifest), (own_rows, own_manifest)):
        both = found.assign(name=found["image_index"].str.removesuffix(".dcm")).merge(truth, on="name", validate="1:1")
        assert (both["patient_id"] == both["patient"]).all()
        assert (both["sex_x"] == both["sex_y"]).all()
        assert (both.groupby("patient")["split"].nunique() == 1).all()
        assert both["split"].nunique() == 3
        assert not told["splits_may_share_patients"]


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
