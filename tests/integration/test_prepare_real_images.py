"""The prepare job on real images, against the label files as pandas reads them."""

from __future__ import annotations

import csv
import gzip
import json

import cv2
import numpy as np
import pandas as pd
import pytest

from cxr_spark.commands.main import main
from cxr_spark.datasets.findings import NIH_FINDINGS
from cxr_spark.tables.prepared import PreparedDataset


def nih_truth(real_data, generation, images):
    """The label file read naively by pandas, rows of the given images only."""
    with gzip.open(real_data / "labels" / generation, "rt", newline="") as stream:
        rows = list(csv.reader(stream))[1:]
    frame = pd.DataFrame({"name": r[0], "findings": r[1].split("|"), "patient": int(r[3])} for r in rows)
    tests = set((real_data / "labels" / "test_list.txt").read_text().split())
    frame["test"] = frame["name"].isin(tests)
    return frame[frame["name"].isin(images)], len(frame)


@pytest.mark.parametrize(
    ("folder", "count", "test", "size"), [("images_1024", 160, 37, 224), ("images_64", 4997, 966, 64)]
)
@pytest.mark.parametrize("generation", ["Data_Entry_2017.csv.gz", "Data_Entry_2017_v2020.csv.gz"])
def test_real_images(spark, real_data, tmp_path, folder, count, test, size, generation):
    paths = {path.name: path for path in (real_data / folder).rglob("*.png")}
    truth, labelled = nih_truth(real_data, generation, set(paths))
    assert (len(truth), int(truth["test"].sum())) == (count, test)
    out = tmp_path / "out"
    arguments = ["prepare", "--images", str(real_data / folder), "--labels", str(real_data / "labels" / generation)]
    assert main([*arguments, "--out", str(out), "--size", str(size), "--val-fraction", "0.1"]) == 0

    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["images_found"] == manifest["joined"] == manifest["prepared"] == count
    assert (manifest["labels_found"], manifest["labels_without_image"]) == (labelled, labelled - count)
    assert (manifest["images_without_label"], manifest["quarantined"]) == (0, {})
    assert manifest["findings"] == list(NIH_FINDINGS)
    assert (manifest["size"], manifest["seed"]) == (size, 42)

    # The rows, as Spark's own reader gives them, against the naive reading of the label file.
    rows = spark.read.parquet(f"file://{out}/data")
    assert rows.schema["pixels"].metadata == {"cxr": {"shape": [size, size], "dtype": "uint8"}}
    got = rows.drop("pixels").toPandas().merge(truth, left_on="image_index", right_on="name", validate="1:1")
    assert len(got) == count
    assert ((got["split"] == "test") == got["test"]).all()
    assert (got["patient_id"].astype(int) == got["patient"]).all()
    assert not set(got[got["split"] == "train"]["patient"]) & set(got[got["split"] == "val"]["patient"])
    for row in got.itertuples():
        assert {f for f, v in zip(NIH_FINDINGS, row.labels, strict=True) if v == 1} == set(row.findings)
        assert row.uri == f"file://{paths[row.image_index]}"
    for split, of_split in got.groupby("split"):
        counts = manifest["splits"][split]
        assert (counts["images"], counts["patients"]) == (len(of_split), of_split["patient"].nunique())
        assert counts["findings"] == {f: sum(f in names for names in of_split["findings"]) for f in NIH_FINDINGS}

    # A few images, pixel by pixel, against OpenCV.
    for row in rows.orderBy("image_index").limit(5).collect():
        image = cv2.imread(str(paths[row["image_index"]]), cv2.IMREAD_GRAYSCALE)
        assert (row["height"], row["width"]) == image.shape
        expected = image if size == 64 else cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
        assert np.array_equal(np.frombuffer(row["pixels"], np.uint8).reshape(size, size), expected)

    dataset = PreparedDataset.open(f"file://{out}")
    listed = {file["name"]: file for file in manifest["files"]}
    for split in ("train", "val", "test"):
        names = dataset.files(split)
        assert len(names) >= 4
        assert all(listed[name]["bytes"] == (out / name).stat().st_size for name in names)
        read = [i for n in names for i in pd.read_parquet(out / n, columns=["image_index"])["image_index"]]
        assert read == sorted(read)
