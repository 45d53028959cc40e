"""The synthetic set: its files in NIH's layout, its patients and splits."""

from __future__ import annotations

import csv
import io
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cxr_spark.config import PrepareSettings
from cxr_spark.datasets.findings import NIH_FINDINGS, NO_FINDING
from cxr_spark.datasets.nih import read_nih_labels
from cxr_spark.datasets.splits import assign_splits
from cxr_spark.sample_data.cohort import draw_cohort
from cxr_spark.sample_data.drawing import draw_picture
from tests.support.sample_sets import IMAGES, SIZE, label_frame


def test_label_file_has_the_format_of_2017(sample: Path) -> None:
    lines = (sample / "Data_Entry_2017.csv").read_bytes().decode().split("\r\n")
    assert lines[-1] == ""
    assert len(lines) == IMAGES + 2
    assert all("\n" not in line for line in lines)
    header, *rows = csv.reader(lines[:-1])
    assert ",".join(header).endswith("OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],")
    assert len(header) == 12
    assert {len(row) for row in rows} == {11}
    frame = label_frame(sample)
    assert frame["index"].str.fullmatch(r"\d{8}_\d{3}\.png").all()
    assert (frame["index"].str[:8] == frame["patient"]).all()
    assert (frame["index"].str[9:12] == frame["visit"]).all()
    assert frame["age"].str.fullmatch(r"\d{3}Y").all()
    assert set(frame["sex"]) == {"M", "F"}
    assert set(frame["view"]) == {"PA", "AP"}
    assert (frame["width"] == str(SIZE)).all()


def test_the_reader_takes_it(sample: Path) -> None:
    labels = read_nih_labels((sample / "Data_Entry_2017.csv").read_bytes(), "Data_Entry_2017.csv")
    assert labels.table.num_rows == IMAGES
    assert {key: count for key, count in labels.notes.items() if key != "rows"} == dict.fromkeys(
        labels.notes.keys() - {"rows"}, 0
    )
    frame = label_frame(sample)
    dummies = frame["findings"].str.get_dummies("|").reindex(columns=list(NIH_FINDINGS), fill_value=0)
    assert np.array_equal(np.stack(labels.table["labels"].to_numpy()), dummies.to_numpy())


def test_patients_have_one_to_six_images_and_one_split(sample: Path) -> None:
    frame = label_frame(sample)
    counts = frame.groupby("patient").size()
    assert counts.between(1, 6).all()
    assert counts.nunique() > 1
    train = (sample / "train_val_list.txt").read_bytes().decode().split("\n")
    test = (sample / "test_list.txt").read_bytes().decode().split("\n")
    assert "" not in train + test  # no newline at the end, as NIH's
    assert sorted(train + test) == sorted(frame["index"])
    assert not {name[:8] for name in train} & {name[:8] for name in test}
    assert (frame["patient"].astype(int) > 30_805).all()  # never taken for one of NIH's patients


def test_images_are_where_nih_has_them_and_say_what_they_are(sample: Path) -> None:
    paths = sorted(sample.rglob("*.png"))
    assert [path.name for path in paths] == sorted(label_frame(sample)["index"])
    assert {str(path.parent.relative_to(sample)) for path in paths} == {"images_001/images"}
    corners = set()
    for path in paths:
        with Image.open(path) as image:
            image.load()
            assert (image.mode, image.size) == ("L", (SIZE, SIZE))
            assert "SYNTHETIC" in image.info["Comment"]
            corners.add(np.asarray(image)[-7:, :37].tobytes())
    assert len(corners) == 1  # the burnt-in mark is the same everywhere: it gives no label away


def test_mark_can_be_read() -> None:
    """The mark is the word: its letters equal those that are drawn here from their description."""
    letters = {
        "S": ["###", "#..", "###", "..#", "###"], "Y": ["#.#", "#.#", ".#.", ".#.", ".#."],
        "N": ["###", "#.#", "#.#", "#.#", "#.#"], "T": ["###", ".#.", ".#.", ".#.", ".#."],
        "H": ["#.#", "#.#", "###", "#.#", "#.#"], "E": ["###", "#..", "##.", "#..", "###"],
        "I": ["###", ".#.", ".#.", ".#.", "###"], "C": ["###", "#..", "#..", "#..", "###"],
    }  # fmt: skip
    expected = [".".join(letters[letter][row] for letter in "SYNTHETIC") for row in range(5)]
    for size, scale in ((64, 1), (256, 2)):
        data, _ = draw_picture(draw_cohort(3, 0)[0], size, 0)
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        corner = pixels[-7 * scale :: scale, : 37 * scale : scale][1:6, 1:36] > 128
        assert ["".join(".#"[int(v)] for v in row) for row in corner] == expected


def test_notices(sample: Path) -> None:
    assert (sample / "SYNTHETIC.txt").read_text().startswith("SYNTHETIC")
    readme = (sample / "README.md").read_text()
    assert "SYNTHETIC" in readme
    for name, count in Counter("|".join(label_frame(sample)["findings"]).split("|")).items():
        assert f"| {name} | {count} |" in readme


def test_boxes_have_nihs_format_and_cover_the_labels(sample: Path) -> None:
    data = (sample / "BBox_List_2017.csv").read_bytes()
    assert data.startswith(b"Image Index,Finding Label,Bbox [x,y,w,h],,,\n")
    boxes = pd.read_csv(io.BytesIO(data), header=None, skiprows=1, names=["index", "finding", "x", "y", "w", "h"])
    assert (boxes[["x", "y"]] >= 0).all(axis=None)
    assert (boxes[["w", "h"]] > 0).all(axis=None)
    for start, length in (("x", "w"), ("y", "h")):
        ends = boxes[start] + boxes[length]
        assert (ends <= 1024).all()
        assert ends.max() > SIZE, "NIH's boxes are in pixels of its 1,024 x 1,024 images, whatever the size of the copy"
    drawn = set(zip(boxes["index"], boxes["finding"].replace("Infiltrate", "Infiltration"), strict=True))
    frame = label_frame(sample)
    labelled = {
        (index, name)
        for index, findings in zip(frame["index"], frame["findings"], strict=True)
        for name in findings.split("|")
        if name != NO_FINDING
    }
    assert drawn == labelled


@pytest.mark.parametrize("seed", range(6))
def test_all_labels_are_in_all_splits_from_300_images_on(seed: int) -> None:
    pictures = draw_cohort(300, seed)
    assert len(pictures) == 300
    lists = {
        test: "\n".join(picture.name for picture in pictures if picture.test is test).encode() for test in (True, False)
    }
    header = "Image Index,Finding Labels"
    rows = [f"{picture.name},{'|'.join(picture.labels)}" for picture in pictures]
    labels = read_nih_labels("\n".join([header, *rows]).encode(), "f")
    defaults = PrepareSettings()
    table = assign_splits(
        labels,
        "official",
        train_list=lists[False],
        test_list=lists[True],
        val_fraction=defaults.val_fraction,
        seed=defaults.seed,
    ).table.to_pandas()
    for split, group in table.groupby("split"):
        assert (np.stack(group["labels"]).sum(axis=0) > 0).all(), split
    assert set(table["split"]) == {"train", "val", "test"}
    assert 0.18 < (table["split"] == "test").mean() < 0.23


def test_findings_come_together_as_in_life() -> None:
    pictures = draw_cohort(3000, 1)
    ill = [set(picture.findings) for picture in pictures if picture.findings]
    assert len(ill) == pytest.approx(0.7 * 3000, abs=3)
    assert 1.4 < np.mean([len(findings) for findings in ill]) < 2.0

    def share(of: str, among: str) -> float:
        return float(np.mean([of in findings for findings in ill if among in findings]))

    assert share("Effusion", "Atelectasis") > 1.5 * share("Effusion", "Hernia")
    counts = Counter(name for findings in ill for name in findings)
    assert counts["Infiltration"] > counts["Pneumonia"] > counts["Hernia"] > 0.03 * 3000
