"""The pictures of the worst mistakes in an evaluation's report."""

from __future__ import annotations

import base64
import json
import re
from html import unescape
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest

from cxr_spark.commands.main import main
from tests.support.predictions import write_predictions
from tests.support.prepared_sets import write_prepared

FINDINGS = ("Mass", "Edema")
SIDE = 200


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Prepared data, a label file of the same images, and predictions of them that are right but for six images."""
    folder = tmp_path_factory.mktemp("inputs")
    write_prepared(folder / "prepared", {"train": 4, "test": 40}, findings=FINDINGS, size=SIDE)
    tables = [pq.read_table(path, partitioning=None) for path in folder.glob("prepared/data/split=test/*.parquet")]
    rows = [row for table in tables for row in table.select(["image_index", "labels", "pixels"]).to_pylist()]
    labels = {row["image_index"]: row["labels"] for row in rows}
    names = sorted(labels)
    lines = ["Image Index,Finding Labels,Patient ID,View Position,Patient Gender,Patient Age"]
    for name in names:
        found = [finding for finding, label in zip(FINDINGS, labels[name], strict=True) if label]
        lines.append(f"{name},{'|'.join(found) or 'No Finding'},1,PA,F,50")
    (folder / "labels.csv").write_text("\n".join(lines))
    scores = np.array([[0.9 if label else 0.1 for label in labels[name]] for name in names])
    for place, score in ((0, 0.99), (1, 0.98), (2, 0.97)):  # of those that have or lack Mass, some are wrong
        absent = [i for i, name in enumerate(names) if not labels[name][0]][place]
        present = [i for i, name in enumerate(names) if labels[name][0]][place]
        scores[absent, 0], scores[present, 0] = score, 1 - score
    write_predictions(folder / "scores", names, scores, FINDINGS)
    return folder, {row["image_index"]: np.frombuffer(row["pixels"], np.uint8).reshape(SIDE, SIDE) for row in rows}


def evaluated(inputs: Path, out: Path, *options: str) -> tuple[str, dict]:
    given = ["--predictions", str(inputs / "scores"), "--labels", str(inputs / "labels.csv"), "--replicates", "0"]
    assert main(["evaluate", *given, *options, "--out", str(out)]) == 0
    return (out / "report.html").read_text(), json.loads((out / "metrics.json").read_text())


def shown(page: str) -> dict[str, np.ndarray]:
    """The pictures of a page by the name below each."""
    found = re.findall(
        r'<img src="data:image/jpeg;base64,([^"]+)"[^>]*><figcaption><b>[^<]*</b>([^<]*)</figcaption>', page
    )
    decoded = {unescape(name): np.frombuffer(base64.b64decode(content), np.uint8) for content, name in found}
    return {name: cv2.imdecode(content, cv2.IMREAD_GRAYSCALE) for name, content in decoded.items()}


def test_the_report_shows_the_prepared_pixels_of_the_worst_mistakes(inputs, tmp_path):
    folder, pixels = inputs
    page, metrics = evaluated(folder, tmp_path / "out", "--data", str(folder / "prepared"))
    mass = metrics["mistakes"]["findings"]["Mass"]
    assert [round(image["probability"], 2) for image in mass["false_positives"]] == [0.99, 0.98, 0.97]
    assert [round(image["probability"], 2) for image in mass["false_negatives"]] == [0.01, 0.02, 0.03]
    wrong = {image["image_index"] for kind in ("false_positives", "false_negatives") for image in mass[kind]}
    pictures = shown(page)
    assert set(pictures) == wrong
    for name, picture in pictures.items():
        small = cv2.resize(pixels[name], (160, 160), interpolation=cv2.INTER_AREA)
        others = [cv2.resize(pixels[other], (160, 160), interpolation=cv2.INTER_AREA) for other in wrong - {name}]
        distance = np.abs(picture.astype(int) - small).mean()
        assert distance < 8  # JPEG of noise
        assert all(distance < np.abs(picture.astype(int) - other).mean() / 2 for other in others)
    assert not [warning for warning in metrics["warnings"] if "picture" in warning]
    assert page.count("<script") == 1


def test_names_stand_in_place_of_pictures_where_none_are_wanted(inputs, tmp_path):
    folder, _ = inputs
    data = ("--data", str(folder / "prepared"))
    page, metrics = evaluated(folder, tmp_path / "without", *data, "--pictures", "leave_out")
    other, _ = evaluated(folder, tmp_path / "none")
    for text in (page, other):
        assert "data:image" not in text
        for image in metrics["mistakes"]["findings"]["Mass"]["false_negatives"]:
            assert image["image_index"] in text
    written = (tmp_path / "none" / "tables" / "mistakes.csv").read_text().splitlines()
    assert written[0] == '"finding","mistake","image_index","probability","threshold"'
    assert len(written) == 1 + 6


def test_images_that_the_data_lack_are_told(inputs, tmp_path):
    folder, _ = inputs
    write_prepared(tmp_path / "other", {"test": 2}, findings=FINDINGS)
    page, metrics = evaluated(folder, tmp_path / "out", "--data", str(tmp_path / "other"))
    told = [warning for warning in metrics["warnings"] if "picture" in warning]
    lacking = 6 - len(shown(page))
    assert told == [
        f"{lacking} of the images with the worst mistakes are not in file://{tmp_path}/other, so they have no picture."
    ]
    assert page.count("no picture<") == lacking


def test_data_that_are_not_prepared_are_refused_before_anything_is_measured(inputs, tmp_path, capsys):
    folder, _ = inputs
    given = [
        "--predictions",
        str(folder / "scores"),
        "--labels",
        str(folder / "labels.csv"),
        "--out",
        f"{tmp_path}/out",
    ]
    assert main(["evaluate", *given, "--data", str(folder / "scores")]) == 3
    assert "is not a finished prepared dataset" in capsys.readouterr().err
    assert not (tmp_path / "out" / "report.html").exists()
