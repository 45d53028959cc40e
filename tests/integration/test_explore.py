"""The explore job on Spark, against pandas over the original label file, and NumPy over the pixels."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from PIL import Image

from cxr_spark.commands.main import main
from tests.support.prepared_sets import write_prepared


@pytest.fixture(scope="module")
def explored(spark, real_data, tmp_path_factory) -> dict:
    """The 4,997 real images of 64 pixels, prepared and explored."""
    out = tmp_path_factory.mktemp("explore")
    labels = real_data / "labels"
    lists = [f"--train-list={labels}/train_val_list.txt", f"--test-list={labels}/test_list.txt"]
    source = [f"--images={real_data}/images_64/images", f"--labels={labels}/Data_Entry_2017.csv.gz"]
    assert main(["prepare", *source, *lists, "--size=64", "--val-fraction=0", f"--out={out}/data"]) == 0
    assert main(["explore", f"--data={out}/data", f"--out={out}/explored"]) == 0
    return json.loads((out / "explored" / "explore.json").read_text())


@pytest.fixture(scope="module")
def truth(real_data) -> dict[str, pd.DataFrame]:
    """NIH's own rows of these images, by split, with a column for each finding."""
    csv = pd.read_csv(real_data / "labels" / "Data_Entry_2017.csv.gz", usecols=range(7), index_col=False)
    csv = csv[csv["Image Index"].isin({path.name for path in (real_data / "images_64" / "images").glob("*.png")})]
    csv = csv.join(csv["Finding Labels"].str.get_dummies("|"))
    test = set((real_data / "labels" / "test_list.txt").read_text().split())
    is_test = csv["Image Index"].isin(test)
    return {"train": csv[~is_test], "test": csv[is_test]}


def test_class_balance(explored, truth) -> None:
    for split, csv in truth.items():
        facts = explored["splits"][split]
        assert facts["images"] == len(csv)
        for name in explored["findings"]:
            assert facts["findings"][name]["positive"] == csv[name].sum()
            assert facts["findings"][name]["negative"] == (csv[name] == 0).sum()
            assert facts["findings"][name]["prevalence"] == pytest.approx(csv[name].mean())


def test_co_occurrence(explored, truth) -> None:
    csv = pd.concat(truth.values())[explored["co_occurrence"]["findings"]].to_numpy()
    np.testing.assert_array_equal(explored["co_occurrence"]["images"], csv.T @ csv)


def test_shifts_findings_by_view_and_duplicates(explored, truth, real_data) -> None:
    shifted = {row["name"]: (row["value"], row["value_other"]) for row in explored["shifts"]}
    rates = [truth[split]["No Finding"].mean() for split in ("train", "test")]
    assert shifted["No Finding"] == pytest.approx(rates)
    both = pd.concat(truth.values())
    for view, rows in both.groupby("View Position"):
        assert explored["findings_by_view"][view]["images"] == len(rows)
        assert explored["findings_by_view"][view]["findings"]["Effusion"] == rows["Effusion"].sum()
    pixels = [np.asarray(Image.open(real_data / "images_64" / "images" / n)).tobytes() for n in both["Image Index"]]
    equal = pd.Series(pixels).value_counts()
    assert explored["duplicates"]["groups"] == (equal > 1).sum()
    assert explored["duplicates"]["images"] == equal[equal > 1].sum()


def test_patients_sex_and_views(explored, truth) -> None:
    assert explored["n_patients"] == pd.concat(truth.values())["Patient ID"].nunique() == 1335
    for split, csv in truth.items():
        facts = explored["splits"][split]
        each = csv.groupby("Patient ID").size()
        assert facts["patients"] == len(each)
        assert facts["images_per_patient"]["mean"] == pytest.approx(each.mean())
        assert facts["images_per_patient"]["max"] == each.max()
        histogram = {int(images): n for images, n in facts["images_per_patient"]["histogram"].items()}
        assert histogram == each.value_counts().to_dict()
        assert facts["sex"] == csv["Patient Gender"].value_counts().to_dict()
        assert facts["view_position"] == csv["View Position"].value_counts().to_dict()


def test_ages(explored, truth) -> None:
    for split, csv in truth.items():
        ages = csv["Patient Age"].str.removesuffix("Y").astype(float)
        facts = explored["splits"][split]["ages"]
        assert (facts["known"], facts["unknown"]) == (len(ages), 0)
        assert [facts[name] for name in ("min", "max")] == [ages.min(), ages.max()]
        assert facts["mean"] == pytest.approx(ages.mean())
        assert facts["std"] == pytest.approx(ages.std(ddof=0))
        bins = (ages // 5 * 5).astype(int).value_counts().to_dict()
        assert {int(start): n for start, n in facts["histogram"].items()} == bins


def test_grey_values(explored, truth, real_data) -> None:
    images = [np.asarray(Image.open(real_data / "images_64" / "images" / n)) for n in truth["test"]["Image Index"]]
    facts = explored["splits"]["test"]["intensity"]
    assert facts["histogram"] == np.bincount(np.stack(images).ravel(), minlength=256).tolist()
    assert facts["mean"] == pytest.approx(np.mean(images))
    assert facts["std"] == pytest.approx(np.std(images))


def test_a_folder_of_any_name_is_read_as_it_stands(spark, tmp_path) -> None:
    folder = tmp_path / "a[1] {b} *?"
    write_prepared(folder, {"train": 8, "test": 4})
    assert main(["explore", f"--data={folder}", f"--out={tmp_path}/out [2]"]) == 0
    assert json.loads((tmp_path / "out [2]" / "explore.json").read_text())["n_images"] == 12


@pytest.fixture(scope="module")
def one_finding(spark, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("explore_one")
    write_prepared(folder / "data", {"train": 30, "test": 10}, findings=("PNEUMONIA",), masked=0.2)
    assert main(["explore", f"--data={folder}/data", f"--out={folder}/out"]) == 0
    return folder


def test_of_one_finding_its_absence_is_counted_too(one_finding) -> None:
    facts = json.loads((one_finding / "out" / "explore.json").read_text())
    assert facts["findings"] == ["PNEUMONIA", "no PNEUMONIA"]
    for split in ("train", "test"):
        files = (one_finding / "data" / "data" / f"split={split}").iterdir()
        labels = np.concatenate([np.stack(pq.read_table(f, partitioning=None)["labels"].to_numpy()) for f in files])
        counts = facts["splits"][split]["findings"]
        assert counts["PNEUMONIA"]["positive"] == counts["no PNEUMONIA"]["negative"] == (labels == 1).sum()
        assert counts["no PNEUMONIA"]["positive"] == counts["PNEUMONIA"]["negative"] == (labels == 0).sum()
        assert counts["PNEUMONIA"]["unknown"] == counts["no PNEUMONIA"]["unknown"] == np.isnan(labels).sum()
    assert facts["image_shapes"]["by_finding"]["no PNEUMONIA"]["smallest"] == [32, 32]
    assert "occur together" not in (one_finding / "out" / "explore.html").read_text()


def test_a_file_that_the_manifest_does_not_name_is_not_counted(spark, tmp_path) -> None:
    data = write_prepared(tmp_path / "data", {"train": 20, "test": 6})
    manifest = json.loads((data / "manifest.json").read_text())
    names = sorted(path.relative_to(data).as_posix() for path in data.rglob("*.parquet"))
    manifest["files"] = [{"name": name, "bytes": (data / name).stat().st_size} for name in names]
    (data / "manifest.json").write_text(json.dumps(manifest))
    for name in ("split=train/mine.parquet", "mine.parquet"):
        (data / "data" / name).write_bytes((data / names[0]).read_bytes())
    assert main(["explore", f"--data={data}", f"--out={tmp_path}/out"]) == 0
    facts = json.loads((tmp_path / "out" / "explore.json").read_text())
    assert {split: counts["images"] for split, counts in facts["splits"].items()} == {"train": 20, "test": 6}
