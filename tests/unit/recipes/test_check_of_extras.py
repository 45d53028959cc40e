"""What the pipeline checks of optional packages and services before its first job."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from cxr_spark.config import MlflowSettings
from cxr_spark.errors import CxrError, RunError
from cxr_spark.training.tracking import following
from tests.unit.recipes.test_check import check, inputs, problems

__all__ = ["inputs"]  # the fixture


def test_a_missing_openvino_is_told_before_the_first_job(inputs: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    check(*inputs)
    (problem,) = problems(*inputs, "score.engine=openvino")
    assert problem.endswith("pip install 'cxr-spark[openvino]'")
    check(*inputs, "score.engine=openvino", "pipeline.steps=[prepare, train]")


def test_mlflow_is_asked_before_the_first_job_where_all_else_is_in_order(
    inputs: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def down(settings: MlflowSettings) -> None:
        asked.append(settings.uri)
        raise RunError("MLflow is down")

    monkeypatch.setattr(following, "check_tracking", down)
    tracked = [*inputs, "train.mlflow.uri=http://host:5000"]
    assert problems(*tracked, kind=RunError) == ["MLflow is down"]
    problems(*tracked, "prepare.labels=/no/such.csv")
    check(*tracked, "pipeline.steps=[prepare]")
    assert asked == ["http://host:5000"]
    (tmp_path / "out" / "run").mkdir(parents=True)
    (tmp_path / "out" / "run" / "_done.json").write_text("{}")  # a finished training is not tracked any more
    assert not [problem for problem in _found(*tracked) if "MLflow" in problem]


def _found(*overrides: str) -> list[str]:
    try:
        check(*overrides)
    except CxrError as error:
        return str(error).split("; ")
    return []
