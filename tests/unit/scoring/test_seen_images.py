"""Models of a cross-validation on the images that they were trained on: refused as a reference, told where scored."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from cxr_spark.config import ScoreSettings
from cxr_spark.errors import UsageError
from cxr_spark.models.metadata import ModelMetadata, Preprocessing
from cxr_spark.outputs.claim import digest
from cxr_spark.outputs.job import JobRun
from cxr_spark.runtime.application import Application
from cxr_spark.scoring.job import ScoreJob
from cxr_spark.scoring.models import open_models
from cxr_spark.scoring.seen_images import doubts_about
from cxr_spark.storage.store import Store
from cxr_spark.tables.prepared import PreparedDataset
from tests.support.prepared_sets import write_prepared


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared data, a copy and others; and models that were trained on the first ones."""
    folder = tmp_path_factory.mktemp("seen")
    write_prepared(folder / "data", {"train": 3, "val": 3, "test": 3}, files=1)
    write_prepared(folder / "other", {"train": 3, "val": 3, "test": 3}, files=1, seed=1)
    shutil.copytree(folder / "data", folder / "copy")
    manifest = json.loads((folder / "data" / "manifest.json").read_text())
    training = {"data": f"file://{folder}/data", "data_manifest": digest(manifest)}
    for number in (1, 2):
        fold = {"number": number, "of": 2, "seed": 42}
        write_metadata(folder / "whole" / f"fold_{number}" / "model", {**training, "fold": fold}, str(number))
    write_metadata(folder / "plain", training, "3")
    (folder / "whole" / "cross_validation.json").write_text(json.dumps({"folds": {"fold_1": {}, "fold_2": {}}}))
    return folder


def write_metadata(folder: Path, training: dict[str, Any], weights: str) -> None:
    folder.mkdir(parents=True)
    metadata = ModelMetadata(
        architecture="resnet50",
        findings=("Effusion", "Mass", "No Finding"),
        preprocessing=Preprocessing(input_size=32, stored_size=32),
        training=training,
        weights_sha256=weights * 64,
    )
    (folder / "metadata.json").write_text(metadata.model_dump_json())


@pytest.mark.parametrize("model", ["whole", "whole/fold_2/model"])
@pytest.mark.parametrize("data", ["data", "copy"])
@pytest.mark.parametrize(
    ("asked", "option"), [({"calibrate": "platt"}, "--calibrate"), ({"average": "ranks"}, "--average ranks")]
)
def test_no_model_is_calibrated_or_ranked_by_images_that_it_was_trained_on(
    model: str, data: str, asked: dict[str, Any], option: str, folder: Path
) -> None:
    remedy = f"name other prepared data by --calibration-data, or leave out {option}"
    with pytest.raises(UsageError, match=rf"trained on val images of .*: {remedy}$"):
        open_models([f"file://{folder}/{model}"], ScoreSettings(**asked), f"file://{folder}/{data}")


@pytest.mark.parametrize(("model", "data"), [("whole", "other"), ("plain", "data")])
def test_validation_images_that_no_model_was_trained_on_are_a_reference(model: str, data: str, folder: Path) -> None:
    models = open_models([f"file://{folder}/{model}"], ScoreSettings(calibrate="platt"), f"file://{folder}/{data}")
    assert models.reference is not None
    assert models.reference.store.uri == f"file://{folder}/{data}"


@pytest.mark.parametrize(
    ("model", "data", "split", "told"),
    [
        ("whole", "data", "val,test", True),
        ("whole/fold_1/model", "data", "val", True),
        ("whole", "copy", "all", True),
        ("whole", "data", "train", True),
        ("whole", "data", "test", False),
        ("whole", "other", "all", False),
        ("plain", "data", "all", False),
    ],
)
def test_scores_of_images_that_a_model_was_trained_on_are_told(
    model: str, data: str, split: str, told: bool, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    score(folder, model, data, split)
    warnings = [r.getMessage() for r in caplog.records if "MODELS WERE TRAINED ON" in r.getMessage()]
    assert len(warnings) == told
    assert all("out_of_fold" in warning for warning in warnings)
    assert "PREPARED AGAIN" not in caplog.text


def score(folder: Path, model: str, data: str, split: str) -> None:
    job = ScoreJob(ScoreSettings(split=split), (model,), "out", data)
    uris: dict[str, tuple[str, ...]] = dict.fromkeys(job.inputs(), ())
    uris |= {"--data": (f"file://{folder}/{data}",), "--model": (f"file://{folder}/{model}",)}
    job.read_inputs(JobRun(Application("score", None, {}), Store(f"file://{folder}/out"), uris))


@pytest.mark.parametrize(
    ("model", "split", "expected"),
    [
        ("whole", "val,test", ("val",)),
        ("whole/fold_1/model", "all", ("train", "val")),
        ("whole", "test", None),
        ("plain", "all", None),
    ],
)
def test_a_result_names_the_splits_that_a_model_was_trained_on(
    model: str, split: str, expected: tuple[str, ...] | None, folder: Path
) -> None:
    models = open_models([f"file://{folder}/{model}"], ScoreSettings(), None)
    doubts = doubts_about(models.uris, models.members, PreparedDataset.open(f"file://{folder}/data"), split)
    assert doubts.get("splits_trained_on") == expected
    assert ("warnings" in doubts) == (expected is not None)
    assert doubts_about(models.uris, models.members, None, "all") == {}


@pytest.mark.parametrize(
    ("data", "manifest", "told"),
    [("data", "ab" * 32, True), ("data", None, False), ("other", "ab" * 32, False)],
    ids=["prepared again", "a model of an earlier version", "other data"],
)
def test_data_that_were_prepared_again_after_a_training_are_told(
    data: str, manifest: str | None, told: bool, folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    training = {"data": f"file://{folder}/data"} | ({"data_manifest": manifest} if manifest else {})
    write_metadata(tmp_path / "model", training, "4")
    uri = f"file://{tmp_path}/model"
    models = open_models([uri], ScoreSettings(calibrate="platt"), f"file://{folder}/{data}")
    assert caplog.text.count("score.calibrate=platt: DATA PREPARED AGAIN AFTER THE TRAINING") == told
    caplog.clear()
    doubts = doubts_about(models.uris, models.members, PreparedDataset.open(f"file://{folder}/{data}"), "test")
    warnings = doubts.get("warnings", ())
    assert len(warnings) == told
    assert all(f"{uri} was trained from file://{folder}/data" in warning for warning in warnings)
    assert [record.getMessage() for record in caplog.records] == list(warnings)
    assert "splits_trained_on" not in doubts
