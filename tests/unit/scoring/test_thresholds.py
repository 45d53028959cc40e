"""Evaluations of a cross-validation whose thresholds are refused, since they do not hold for new images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cxr_spark.errors import DataError, UsageError
from cxr_spark.scoring.thresholds import thresholds_of

MEAN = {"average": "probabilities", "models": [{"model_id": "a"}, {"model_id": "b"}]}


def evaluation(folder: Path, **changes: Any) -> str:
    points = {"points": {"f1": {"Mass": {"threshold": 0.5}}}}
    (folder / "metrics.json").write_text(
        json.dumps({"model_id": "a+b", "operating_points": points, "model": MEAN, **changes})
    )
    return f"file://{folder}"


def test_thresholds_that_were_chosen_on_images_of_the_training_are_refused(tmp_path: Path) -> None:
    uri = evaluation(tmp_path, splits_trained_on=["val"])
    remedy = (
        r"score other prepared data with --split val,test .*, or train one model by the same recipe without --folds"
    )
    with pytest.raises(UsageError, match=rf"images that a model of a cross-validation was trained on.*: {remedy}"):
        thresholds_of(uri, "f1", "a+b", ("Mass",), MEAN)


@pytest.mark.parametrize("told", [{"splits_trained_on": []}, {"splits_trained_on": None}, {}])
def test_an_evaluation_of_new_images_or_of_an_earlier_version_is_taken(told: dict[str, Any], tmp_path: Path) -> None:
    assert thresholds_of(evaluation(tmp_path, **told), "f1", "a+b", ("Mass",), MEAN) == (0.5,)


def test_out_of_fold_thresholds_are_refused_for_the_mean_with_what_to_do(tmp_path: Path) -> None:
    uri = evaluation(
        tmp_path, model={"folds": 2, "models_by_fold": ["a", "b"]}, operating_points=None, splits_trained_on=[]
    )
    with pytest.raises(DataError, match=r"one of 2 models, .* do not fit the mean.*train one model .*without --folds"):
        thresholds_of(uri, "f1", "a+b", ("Mass",), MEAN)
