"""NIH's real label files and lists, against the published counts and pandas."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cxr_spark.datasets.base import LabelTable
from cxr_spark.datasets.nih import read_nih_labels
from cxr_spark.datasets.splits import assign_splits

#: Images that carry each label: in the file of 2017, in the correction of 2020.
COUNTS = {
    "No Finding": (60412, 60361),
    "Infiltration": (19870, 19894),
    "Effusion": (13307, 13317),
    "Atelectasis": (11535, 11559),
    "Nodule": (6323, 6331),
    "Mass": (5746, 5782),
    "Pneumothorax": (5298, 5302),
    "Consolidation": (4667, 4667),
    "Pleural_Thickening": (3385, 3385),
    "Cardiomegaly": (2772, 2776),
    "Emphysema": (2516, 2516),
    "Edema": (2303, 2303),
    "Fibrosis": (1686, 1686),
    "Pneumonia": (1353, 1431),
    "Hernia": (227, 227),
}
GENERATIONS = ("Data_Entry_2017.csv.gz", "Data_Entry_2017_v2020.csv.gz")

pytestmark = pytest.mark.real_data


@pytest.fixture(scope="module", params=[0, 1], ids=["2017", "2020"])
def generation(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture(scope="module")
def packed(real_data: Path, generation: int) -> bytes:
    return (real_data / "labels" / GENERATIONS[generation]).read_bytes()


@pytest.fixture(scope="module")
def labels(packed: bytes) -> LabelTable:
    return read_nih_labels(packed, "Data_Entry")


def test_counts_are_the_published_ones(labels: LabelTable, generation: int) -> None:
    assert labels.table.num_rows == 112_120
    assert len(labels.table["patient_id"].unique()) == 30_805
    matrix = np.stack(labels.table["labels"].to_numpy())
    assert matrix.shape == (112_120, 15)
    assert dict(zip(labels.findings, matrix.sum(axis=0), strict=True)) == {
        name: counts[generation] for name, counts in COUNTS.items()
    }


def test_every_row_equals_pandas_own_reading(labels: LabelTable, packed: bytes, generation: int) -> None:
    names = ["index", "findings", "visit", "patient", "age", "sex", "view"]
    text = io.BytesIO(gzip.decompress(packed))
    frame = pd.read_csv(text, header=None, skiprows=1, usecols=range(7), names=names, dtype=str)
    read = labels.table.to_pandas()
    assert read["image_index"].tolist() == frame["index"].tolist()
    assert read["patient_id"].tolist() == frame["patient"].astype(int).astype(str).tolist()
    assert read["sex"].tolist() == frame["sex"].tolist()
    assert read["view_position"].tolist() == frame["view"].tolist()
    dummies = frame["findings"].str.get_dummies("|")[list(labels.findings)]
    assert np.array_equal(np.stack(read["labels"].to_numpy()), dummies.to_numpy())
    number = frame["age"].str.extract(r"(\d+)")[0].astype(float)
    unit = frame["age"].str.extract(r"([YMD]?)$")[0].map({"Y": 1, "": 1, "M": 12, "D": 365.25})
    years = number / unit
    np.testing.assert_allclose(read["age"], years.where(years <= 120))
    assert labels.notes["ages_over_120"] == (16, 0)[generation]


def test_official_split(labels: LabelTable, real_data: Path) -> None:
    lists = {
        f"{name}_list": (real_data / "labels" / f"{file}_list.txt").read_bytes()
        for name, file in (("train", "train_val"), ("test", "test"))
    }
    result = assign_splits(labels, "official", val_fraction=0.1, **lists)
    frame = result.table.select(["image_index", "patient_id", "split"]).to_pandas()
    patients = frame.groupby("split")["patient_id"].nunique()
    assert patients.sum() == 30_805  # none in two splits
    assert (patients["test"], patients["val"]) == (2_797, round(28_008 * 0.1))
    assert (frame["split"] == "test").sum() == 25_596
    test_names = set((real_data / "labels" / "test_list.txt").read_text().split())
    assert set(frame.loc[frame["split"] == "test", "image_index"]) == test_names
    assert result.notes == {"images_in_no_list": 0, "list_entries_without_label": 0}


def test_the_lists_and_boxes_are_no_label_files(real_data: Path) -> None:
    from cxr_spark.errors import DataError

    for name, what in (
        ("train_val_list.txt", "list of images"),
        ("BBox_List_2017.csv.gz", "no column 'Finding Labels'"),
    ):
        with pytest.raises(DataError, match=what):
            read_nih_labels((real_data / "labels" / name).read_bytes(), name)
