"""The output of explain, as an evaluation opens it: which maps belong to which scores."""

from __future__ import annotations

from pathlib import Path

import pytest

from cxr_spark.errors import DataError, UsageError
from cxr_spark.evaluation.reading.explanations import Explanations
from cxr_spark.reporting.images_read import ImagesRead
from cxr_spark.reporting.provenance import Provenance
from tests.support.explanations import write_explanation

ONE, OTHER, THIRD = "a" * 64, "b" * 64, "c" * 64
RAW = {"images": ["file:///raw"], "image_files": "3" * 64}
DATA = {"data": "file:///prepared", "split": "test", "manifest": "1" * 64}


def opened(folder: Path, **how: object) -> Explanations:
    return Explanations.open(f"file://{write_explanation(folder / 'explained', {}, **how)}")


def scores(model_id: str | None, **model: object) -> Provenance:
    return Provenance({} if model_id is None else {"model_id": model_id, "model": model}, {})


@pytest.mark.parametrize(
    "told", [{"folds": 2, "models_by_fold": [ONE, OTHER]}, {"folds": 2}, {"models_by_fold": [OTHER, ONE]}]
)
def test_maps_are_refused_for_out_of_fold_scores(tmp_path: Path, told: dict) -> None:
    with pytest.raises(UsageError, match="the predictions are out-of-fold scores") as error:
        opened(tmp_path).check_scores(scores(f"{ONE}+{OTHER}", **told))
    assert "\n" not in str(error.value)


def test_maps_of_one_of_several_models_are_taken_and_told(tmp_path: Path) -> None:
    maps = opened(tmp_path)
    maps.check_scores(scores(f"{OTHER}+{ONE}+{THIRD}", average="probabilities"))
    (told,) = maps.doubts(f"{OTHER}+{ONE}+{THIRD}", None)
    assert "of model aaaaaaaaaaaa alone, one of the 3 models" in told
    maps.check_scores(scores(ONE))
    maps.check_scores(scores(None))
    assert maps.doubts(ONE, None) == maps.doubts(None, None) == []
    with pytest.raises(UsageError, match="the predictions of bbbbbbbbbbbb"):
        maps.check_scores(scores(f"{OTHER}+{THIRD}"))


@pytest.mark.parametrize(
    ("explained", "scored", "told"),
    [
        (DATA, DATA, None),
        (DATA, {**DATA, "split": "val"}, None),
        (DATA, {**DATA, "data": "hdfs://n/copy"}, None),  # a copy: the manifest is the same
        (
            DATA,
            {**DATA, "data": "file:///nih", "manifest": "2" * 64},
            "other data (file:///prepared) than the predictions (file:///nih)",
        ),
        (DATA, {**DATA, "manifest": "2" * 64}, "the data file:///prepared were changed"),
        (
            {"images": ["file:///raw", "file:///more"], "image_files": "3" * 64},
            DATA,
            "other data (file:///raw, file:///more) than the predictions (file:///prepared)",
        ),
        (
            {"images": ["file:///raw"], "image_files": "3" * 64},
            {"images": ["file:///r*"], "image_files": "3" * 64},
            None,
        ),
        ({}, DATA, None),
        (DATA, {}, None),
        (DATA, {"data": 3, "manifest": None}, None),
        (DATA, {"incremental": True}, None),
    ],
)
def test_maps_of_other_data_than_the_predictions_are_told(
    tmp_path: Path, explained: dict, scored: dict, told: str | None
) -> None:
    found = opened(tmp_path, inputs=explained).doubts(ONE, ImagesRead.of(scored))
    assert len(found) == (told is not None)
    if told is not None:
        assert told in found[0]
        assert found[0].endswith("images of the same name may differ")


def test_the_images_of_scores_are_read_from_the_mark_of_their_job(tmp_path: Path) -> None:
    (tmp_path / "_done.json").write_text('{"inputs": {"data": "file:///prepared", "manifest": "ab"}}')
    assert Provenance.of(tmp_path.as_uri()).images == ImagesRead("file:///prepared", "ab")
    assert Provenance.of("file:///nowhere.csv").images is None


def test_what_the_explain_job_did_not_tell_of_its_data_is_not_known(tmp_path: Path) -> None:
    folder = write_explanation(tmp_path / "explained", {}, inputs=DATA)
    assert Explanations.open(folder.as_uri()).images == ImagesRead("file:///prepared", "1" * 64)
    for text in ('{"job": "explain"}', '{"job": "explain", "inputs": 3}', '{"job": "explain", "inputs": {"data": 3}}'):
        (folder / "_done.json").write_text(text)
        assert Explanations.open(folder.as_uri()).images is None


def test_a_method_that_is_not_known_is_refused_in_a_line(tmp_path: Path) -> None:
    assert opened(tmp_path, method="gradcam++").method == "Grad-CAM++"
    for name, method in (("long", "x" * 100_000), ("lines", "a\nb")):
        with pytest.raises(DataError, match=r"method.*expected one of gradcam, gradcam\+\+") as error:
            opened(tmp_path / name, method=method)
        assert len(str(error.value)) < 500
        assert "\n" not in str(error.value)
