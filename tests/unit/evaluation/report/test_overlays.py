"""Maps of the worst mistakes: what the page says of them, and storage that fails while they are read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cxr_spark.errors import RunError, StorageAwayError
from cxr_spark.evaluation.computation import Evaluation
from cxr_spark.evaluation.reading.explanations import Explanations
from cxr_spark.evaluation.report.mistakes import Pictures
from cxr_spark.evaluation.report.overlays import Overlays, overlays_of
from cxr_spark.evaluation.report.pictures import illustrated
from cxr_spark.reporting.images_read import ImagesRead
from tests.support.evaluations import curve, page
from tests.support.explanations import write_explanation
from tests.support.storage_faults import FAULTS, break_reads

PAIRS = [("a.png", "Mass"), ("b.png", "Mass")]


def written(folder: Path, **inputs: str) -> Explanations:
    maps = {pair: np.full((32, 32, 3), 90, np.uint8) for pair in PAIRS}
    return Explanations.open(f"file://{write_explanation(folder / 'explained', maps, inputs=inputs)}")


@pytest.mark.parametrize(("fault", "error"), [("refused", StorageAwayError), ("EIO", RunError)])
def test_storage_that_fails_ends_the_job_rather_than_the_maps(tmp_path, monkeypatch, fault, error) -> None:
    maps = written(tmp_path)
    break_reads(monkeypatch, FAULTS[fault], lambda path: path.endswith("/1.png"))
    with pytest.raises(error):
        overlays_of(maps, PAIRS, 160, 1_000_000, {})


def test_a_picture_that_is_gone_or_damaged_is_told_and_the_other_one_shown(tmp_path) -> None:
    maps = written(tmp_path)
    (tmp_path / "explained" / "0.png").unlink()
    found = overlays_of(maps, PAIRS, 160, 1_000_000, {})
    assert list(found.by_mistake) == PAIRS[1:]
    assert len(found.damaged) == 1
    assert "which is gone" in found.damaged[0]
    (tmp_path / "explained" / "0.png").write_bytes(b"GIF89a")
    assert "no PNG file" in overlays_of(maps, PAIRS, 160, 1_000_000, {}).damaged[0]


@pytest.mark.parametrize("models", [1, 3])
def test_the_page_says_whose_maps_are_shown_where_several_models_made_the_scores(models: int) -> None:
    wrong = {"threshold": 0.5, "false_positives": [{"image_index": "a.png", "probability": 0.9}], "false_negatives": []}
    overlays = Overlays({PAIRS[0]: "data:image/jpeg;base64,AAAA"}, "Grad-CAM", models=models)
    _, text = page(
        {"Mass": curve()},
        Pictures({}, overlays=overlays),
        mistakes={"rule": "0.5", "count": 1, "findings": {"Mass": wrong}},
    )
    assert ("Each map is of one of the 3 models that made the scores together" in text) == (models == 3)


def test_doubts_of_maps_are_warnings_of_the_report(tmp_path) -> None:
    maps = written(tmp_path, data="file:///one", manifest="1" * 64)
    wrong = {"false_positives": [{"image_index": "a.png", "probability": 0.9}], "false_negatives": []}
    metrics = {"mistakes": {"findings": {"Mass": wrong}}, "findings_called": {}, "warnings": []}
    metrics["model_id"] = "a" * 64 + "+" + "b" * 64
    shown = illustrated(Evaluation(metrics, [], None, []), None, maps, ImagesRead("file:///two", "2" * 64))
    several, other = shown.metrics["warnings"]
    assert "one of the 2 models" in several
    assert "other data (file:///one) than the predictions (file:///two)" in other
    assert shown.pictures is not None
    assert shown.pictures.overlays is not None
    assert shown.pictures.overlays.models == 2
    assert list(shown.pictures.overlays.by_mistake) == [("a.png", "Mass")]
