"""What a cross-validation says of its folds together."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from cxr_spark.errors import DataError
from cxr_spark.models.metadata_file import load_metadata
from cxr_spark.scoring.fold_models import load_models, models_in
from cxr_spark.storage.store import Store
from cxr_spark.training.cross_validation.results import spread
from tests.unit.scoring.test_seen_images import write_metadata


def test_mean_and_spread_over_the_folds_are_those_of_numpy() -> None:
    values = [0.71, 0.78, 0.802, 0.69, 0.75]
    found = spread(values)
    assert found is not None
    assert found.mean == pytest.approx(np.mean(values), abs=1e-12)
    assert found.standard_deviation == pytest.approx(np.std(values, ddof=1), abs=1e-12)
    assert (found.lowest, found.highest, found.folds) == (0.69, 0.802, 5)


def test_folds_without_an_auc_are_left_out_and_counted() -> None:
    one = spread([None, 0.8, None])
    assert one is not None
    assert (one.mean, one.standard_deviation, one.folds) == (0.8, None, 1)
    assert spread([None, None]) is None


def write_folds(folder: Path, *numbers: int, told: int | None = None) -> str:
    """Writes a cross-validation with the models of some folds and a summary that tells of some; returns its URI."""
    for number in numbers:
        (folder / f"fold_{number}" / "model").mkdir(parents=True)
        (folder / f"fold_{number}" / "model" / "metadata.json").write_text("{}")
    if told is not None:
        folds = {f"fold_{number}": {} for number in range(1, told + 1)}
        (folder / "cross_validation.json").write_text(json.dumps({"folds": folds}))
    return f"file://{folder}"


def test_the_folder_of_a_cross_validation_stands_for_the_models_of_its_folds(tmp_path: Path) -> None:
    uri = write_folds(tmp_path, *range(1, 12))
    assert [model.uri for model in models_in(uri)] == [uri]  # it has not come to its end
    write_folds(tmp_path, told=10)  # fold_11 is of an earlier one with more folds
    assert [model.uri for model in models_in(uri)] == [f"{uri}/fold_{number}/model" for number in range(1, 11)]


@pytest.mark.parametrize(
    ("there", "named"), [((1, 3, 4), "of fold_2 is gone"), ((), "of fold_1, fold_2, fold_3 is gone")]
)
def test_models_of_folds_that_are_gone_are_named(there: tuple[int, ...], named: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=named):
        load_models(write_folds(tmp_path, *there, told=3))


def test_a_model_that_is_not_the_one_of_the_summary_is_refused(tmp_path: Path) -> None:
    uri = write_folds(tmp_path)
    for number in (1, 2):
        write_metadata(tmp_path / f"fold_{number}" / "model", {}, str(number))
    folds = {f"fold_{number}": {"model_id": str(number) * 64} for number in (1, 2)}
    (tmp_path / "cross_validation.json").write_text(json.dumps({"folds": folds}))
    assert [model for model, _ in load_models(uri)] == [f"{uri}/fold_1/model", f"{uri}/fold_2/model"]
    folds["fold_2"]["model_id"] = "3" * 64
    (tmp_path / "cross_validation.json").write_text(json.dumps({"folds": folds}))
    with pytest.raises(
        DataError, match=r"fold_2/model holds the model 222222222222, .* tells of 333333333333: .*_done"
    ):
        load_models(uri)


def test_the_metadata_of_each_fold_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uri = write_folds(tmp_path, told=3)
    for number in (1, 2, 3):
        write_metadata(tmp_path / f"fold_{number}" / "model", {}, str(number))
    read: list[str] = []
    read_bytes = Store.read_bytes
    monkeypatch.setattr(Store, "read_bytes", lambda s, name, *a: read.append(s.uri_of(name)) or read_bytes(s, name, *a))
    monkeypatch.setattr(Store, "exists", lambda s, name="": pytest.fail(f"looked for {s.uri_of(name)}"))
    assert [model for model, _ in load_models(uri)] == [f"{uri}/fold_{number}/model" for number in (1, 2, 3)]
    each = [f"{uri}/fold_{number}/model/metadata.json" for number in (1, 2, 3)]
    assert read == [f"{uri}/cross_validation.json", *each]


@pytest.mark.parametrize("summary", ["", "[]", "{}", '{"folds": {}}', '{"folds": {"../other": {}}}', '{"folds": [1]}'])
def test_a_damaged_summary_is_one_clear_error(summary: str, tmp_path: Path) -> None:
    uri = write_folds(tmp_path, 1, 2)
    (tmp_path / "cross_validation.json").write_text(summary)
    with pytest.raises(DataError, match=r"cross_validation\.json"):
        models_in(uri)


def test_who_names_a_cross_validation_where_one_model_is_expected_is_told_the_models(tmp_path: Path) -> None:
    (tmp_path / "fold_1" / "model").mkdir(parents=True)
    (tmp_path / "fold_1" / "model" / "metadata.json").write_text("{}")
    with pytest.raises(DataError, match=r"the models of this cross-validation are .*/fold_1/model and"):
        load_metadata(Store(f"file://{tmp_path}"))
