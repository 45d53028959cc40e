"""A model folder that is replaced while a job runs: no worker computes with another model than the job names."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from cxr_spark.errors import RunError
from cxr_spark.models import load_metadata
from cxr_spark.scoring.shipping import ShippedModel, ship_model
from cxr_spark.storage.store import Store
from tests.support.small_model import write_model

LOCAL = SimpleNamespace(
    sparkContext=SimpleNamespace(master="local[1]", getConf=lambda: SimpleNamespace(get=lambda _, default: default))
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_model(tmp_path / "model", seed=1)
    return tmp_path / "model"


def ship(folder: Path, **options: object) -> ShippedModel:
    return ship_model(LOCAL, f"file://{folder}", **options)[0]  # type: ignore[arg-type]


def test_the_same_model_is_ready_on_a_worker(folder: Path) -> None:
    shipped = ship(folder)
    assert shipped.on_worker(1).metadata.model_id == load_metadata(Store(str(folder))).model_id


def test_another_model_in_the_folder_fails_the_run(folder: Path) -> None:
    shipped = ship(folder)
    write_model(folder, seed=2)
    with pytest.raises(RunError, match=r"model folder .* was changed while the job ran.*run the job again") as caught:
        shipped.on_worker(1)
    assert caught.value.exit_status == 4


def test_the_same_weights_with_other_metadata_fail_the_run(folder: Path) -> None:
    shipped = ship(folder)
    metadata = json.loads((folder / "metadata.json").read_text())
    metadata["findings"] = metadata["findings"][::-1]
    (folder / "metadata.json").write_text(json.dumps(metadata))
    with pytest.raises(RunError, match=r"was changed while the job ran.*metadata"):
        shipped.on_worker(1)


@pytest.mark.parametrize("gone", ["metadata.json", "weights.safetensors"])
def test_a_folder_in_the_middle_of_a_change_fails_the_run(folder: Path, gone: str) -> None:
    shipped = ship(folder)
    (folder / gone).unlink()
    with pytest.raises(RunError, match="was changed while the job ran") as caught:
        shipped.on_worker(1)
    assert caught.value.exit_status == 4


def test_a_model_that_is_replaced_before_the_tasks_start_fails_the_run(folder: Path) -> None:
    read_first = load_metadata(Store(str(folder)))
    write_model(folder, seed=2)
    with pytest.raises(RunError, match="was changed while the job ran"):
        ship(folder, expected=read_first)
