"""The prepare job on RSNA's DICOM files and on patients in DICOM headers."""

from __future__ import annotations

from pathlib import Path

import pydicom
from pyspark.sql import SparkSession

from tests.support.dataset_folders import write_rsna
from tests.support.prepare_runs import labels_of, prepare, rsna_options


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
