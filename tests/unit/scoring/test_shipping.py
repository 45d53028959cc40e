"""A model folder that is replaced while a job runs: no worker computes with another model than the job names."""

from __future__ import annotations

import io
import json
import pickle
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pyspark import Broadcast

from cxr_spark.errors import RunError
from cxr_spark.models.metadata import ModelMetadata, Preprocessing
from cxr_spark.models.metadata_file import load_metadata
from cxr_spark.outputs.names import CONVERTED_NAME
from cxr_spark.scoring.converted import Converted, key_of
from cxr_spark.scoring.engine import Engine
from cxr_spark.scoring.shipped import ShippedModel
from cxr_spark.scoring.shipping import ship as ship_for_engine
from cxr_spark.scoring.shipping import ship_model
from cxr_spark.storage.store import Store
from tests.support.small_model import write_model

LOCAL = SimpleNamespace(
    sparkContext=SimpleNamespace(master="local[1]", getConf=lambda: SimpleNamespace(get=lambda _, default: default))
)

METADATA = ModelMetadata(
    architecture="small_cnn", findings=("Mass",), preprocessing=Preprocessing(input_size=32, stored_size=32)
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


def test_a_worker_of_an_earlier_job_takes_the_metadata_of_now(folder: Path) -> None:
    before = ship(folder).on_worker(1).metadata.findings
    metadata = json.loads((folder / "metadata.json").read_text())
    metadata["findings"] = metadata["findings"][::-1]
    (folder / "metadata.json").write_text(json.dumps(metadata))
    assert ship(folder).on_worker(1).metadata.findings == before[::-1] != before


class Session:
    """As much of a Spark session as a broadcast takes."""

    sparkContext = SimpleNamespace(broadcast=lambda value: SimpleNamespace(value=value))


@pytest.fixture
def conversions(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The weights that each conversion made: another text each time, as conversions of one network differ in bytes."""
    made: list[bytes] = []

    def convert(store: Store, metadata: ModelMetadata) -> Converted:
        made.append(b"conversion %d" % len(made))
        return Converted(b"graph", made[-1], key_of(metadata))

    monkeypatch.setattr("cxr_spark.scoring.converting.convert", convert)
    return made


def converted_by(folder: Path) -> Callable[[], bytes]:
    """Ships a converted network, and returns what an executor reads of it later."""
    uri = f"file://{folder}"
    model = ship_for_engine(Session(), uri, load_metadata(Store(uri)), Engine("openvino"))  # type: ignore[arg-type]
    return lambda: Converted.from_bytes(model.folder().read_bytes(CONVERTED_NAME), "it").weights


def test_a_network_is_converted_once_for_each_model(folder: Path, conversions: list[bytes]) -> None:
    assert [converted_by(folder)(), converted_by(folder)()] == [b"conversion 0"] * 2
    write_model(folder, seed=9)  # other weights in the same folder: the old network is of no use
    assert [converted_by(folder)(), converted_by(folder)()] == [b"conversion 1"] * 2


def test_two_jobs_that_convert_at_once_compute_each_by_its_own(folder: Path, conversions: list[bytes]) -> None:
    first = converted_by(folder)
    (folder / CONVERTED_NAME).unlink()  # the second began before the first had kept it
    second = converted_by(folder)
    third = converted_by(folder)
    (folder / CONVERTED_NAME).unlink()
    assert [first(), second(), third()] == [*conversions, conversions[1]]
    assert len(conversions) == 2


def test_a_kept_conversion_that_may_not_be_read_is_made_anew(
    folder: Path, conversions: list[bytes], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    converted_by(folder)
    read = Store.read_bytes

    def refused(store: Store, name: str, limit: int | None = None) -> bytes:
        if name == CONVERTED_NAME:
            raise RunError(f"cannot read {store.uri_of(name)}: Permission denied")
        return read(store, name, limit)

    monkeypatch.setattr(Store, "read_bytes", refused)
    assert converted_by(folder)() == conversions[1]
    assert "the network is converted anew: cannot read" in caplog.text


def test_a_worker_does_not_keep_the_files_of_a_model(tmp_path: Path) -> None:
    content = {"weights": bytes(8 << 20)}
    (tmp_path / "broadcast").write_bytes(pickle.dumps(content))
    shipped = ShippedModel("file:///m", METADATA, Broadcast(path=str(tmp_path / "broadcast")))
    tracemalloc.start()
    try:
        assert shipped.folder().read_bytes("weights") == content["weights"]
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 1 << 20
    assert shipped.folder().read_bytes("weights") == content["weights"]


def test_files_that_came_encrypted_can_be_read_twice() -> None:
    sent: Any = io.BytesIO(pickle.dumps({"weights": b"w"}))
    shipped = ShippedModel("file:///m", METADATA, Broadcast(sock_file=sent))
    assert [shipped.folder().read_bytes("weights") for _ in range(2)] == [b"w", b"w"]
