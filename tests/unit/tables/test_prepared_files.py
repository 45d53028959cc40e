"""All readers of prepared files: damaged content, storage that fails, and data without checksums."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cxr_spark.config import ModelSettings, TrainSettings
from cxr_spark.errors import DataError, RunError
from cxr_spark.explanation.images import image_names, prepared_images
from cxr_spark.explanation.plan import ChosenPart, choose
from cxr_spark.exploration.task import PixelSummer
from cxr_spark.models.device import Compute
from cxr_spark.models.metadata import ModelMetadata, Preprocessing
from cxr_spark.scoring.ensemble import ReadyEnsemble, ShippedEnsemble
from cxr_spark.scoring.plan import PreparedPart, prepared_parts
from cxr_spark.scoring.request import prepared_request
from cxr_spark.scoring.shipped import ShippedModel
from cxr_spark.scoring.task import PartScorer
from cxr_spark.scoring.torch_engine import TorchModel
from cxr_spark.storage.store import Store
from cxr_spark.tables.prepared import PreparedDataset
from cxr_spark.tables.prepared_files import read_batches, read_columns
from cxr_spark.training.rank.shards import read_index
from tests.support.prepared_files import SPLIT, N, train
from tests.support.specifications import specification
from tests.support.storage_faults import FAULTS, break_reads


def only_file(folder: Path) -> Path:
    (file,) = folder.glob("data/*/*.parquet")
    return file


def explore(dataset: PreparedDataset) -> list[bytes]:
    names = tuple(dataset.files(SPLIT))
    summer = PixelSummer(dataset.store.uri, dataset.size, {name: dataset.sha256(name) for name in names})
    return [image.tobytes() for name in names for batch in summer._batches(name) for image in batch]


def explain(dataset: PreparedDataset) -> list[bytes]:
    parts = prepared_parts(dataset, SPLIT)
    return [
        image.pixels.tobytes()
        for part in parts
        for image in prepared_images(ChosenPart(part), dataset.store.uri, dataset.findings, 5)
    ]


def score(dataset: PreparedDataset) -> list[bytes]:
    """Scores with a network that only notes what it is given."""
    seen: list[bytes] = []

    class Noting(TorchModel):
        def predict(self, pixels: np.ndarray, batch: int) -> np.ndarray:
            seen.extend(image.tobytes() for image in pixels)
            return np.zeros((len(pixels), 3), np.float32)

    metadata = ModelMetadata(
        architecture="small_cnn",
        findings=dataset.findings,
        preprocessing=Preprocessing(input_size=32, stored_size=32),
    )

    class Metadata:
        model_id, findings, task = "x" * 64, dataset.findings, "multi_label"

    scorer = PartScorer(
        out="file:///nowhere", tag="t", model=ShippedEnsemble((ShippedModel("file:///m", metadata),)),
        data=dataset.store.uri, labels=(0, 1, 2), threads=1, batch=5,
    )  # fmt: skip
    object.__setattr__(scorer, "_write", lambda *_: "name")
    model = ReadyEnsemble((Noting(None, Metadata, Compute(None, False)),))  # type: ignore[arg-type]
    for part in prepared_parts(dataset, SPLIT):
        scorer._prepared(part, model)
    return seen


READERS = [train, explore, explain, score]


Reader = Callable[[PreparedDataset], list[bytes]]


@pytest.mark.parametrize("read", READERS)
def test_all_readers_give_the_pixels_that_pandas_sees(folder: Path, read: Reader) -> None:
    expected = pd.read_parquet(only_file(folder))["pixels"].tolist()
    assert sorted(read(PreparedDataset.open(str(folder)))) == sorted(expected)


@pytest.mark.parametrize("read", READERS)
def test_a_single_flipped_bit_is_never_taken_for_pixels(folder: Path, read: Reader) -> None:
    file = only_file(folder)
    whole = file.read_bytes()
    draw = np.random.default_rng(5)
    for place in draw.integers(0, len(whole) * 8, 40).tolist():
        damaged = bytearray(whole)
        damaged[place // 8] ^= 1 << place % 8
        file.write_bytes(damaged)
        with pytest.raises(DataError, match=r"damaged|cannot be read as prepared data|labels an image|stands twice"):
            read(PreparedDataset.open(str(folder)))


def test_who_trusts_the_storage_reads_without_a_check(folder: Path) -> None:
    file = only_file(folder)
    whole = file.read_bytes()
    pixels = pd.read_parquet(file)["pixels"][3]
    start = whole.index(pixels[:64])  # zstd does not compress noise
    file.write_bytes(whole[:start] + bytes([whole[start] ^ 1]) + whole[start + 1 :])
    dataset = PreparedDataset.open(str(folder), verify=False)
    assert len(score(dataset)) == N
    with pytest.raises(DataError, match="SHA-256"):
        score(PreparedDataset.open(str(folder)))


@pytest.mark.parametrize("trusting", [False, True])
def test_jobs_check_files_unless_a_setting_says_that_storage_is_trusted(folder: Path, trusting: bool) -> None:
    sha256 = hashlib.sha256(only_file(folder).read_bytes()).hexdigest()
    train = TrainSettings(storage="trusted" if trusting else "checked")
    specified = specification(folder / "run", ModelSettings(), train).model_copy(
        update={"data_uri": f"file://{folder}"}
    )
    dataset = specified.dataset()
    preprocessing = Preprocessing(input_size=32, stored_size=32)
    metadata = ModelMetadata(architecture="small_cnn", findings=dataset.findings, preprocessing=preprocessing)
    request = prepared_request(str(folder), SPLIT, metadata, check_files=not trusting)
    expected = None if trusting else sha256
    assert [dataset.sha256(name) for name in dataset.files(SPLIT)] == [expected]
    assert [part.sha256 for part in request.parts if isinstance(part, PreparedPart)] == [expected]


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("change", ["no hashes", "no files"])
def test_data_without_checksums_are_still_read(folder: Path, read: Reader, change: str) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    for file in manifest["files"]:
        del file["sha256"]
    if change == "no files":
        del manifest["files"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert len(read(PreparedDataset.open(str(folder)))) == N


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_files_without_checksums_are_one_clear_error_or_an_array(folder: Path, data: st.DataObject) -> None:
    file = folder / "data" / "damaged.parquet"
    changed = bytearray(only_file(folder).read_bytes())
    footer = max(8, len(changed) - 3000)
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(footer, len(changed) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.sampled_from([0, 0, 1, 100, len(changed) - 1]))
    file.write_bytes(changed[: len(changed) - cut])
    store = Store(str(folder))
    for read in (
        lambda: list(read_batches(store, "data/damaged.parquet", ["image_index", "labels", "pixels"], 5)),
        lambda: read_columns(store, "data/damaged.parquet", ["image_index", "labels"]),
    ):
        with contextlib.suppress(DataError):
            read()


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_the_storage_is_no_damage(
    folder: Path, read: Reader, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = PreparedDataset.open(str(folder))
    break_reads(monkeypatch, FAULTS[fault], lambda path: path.endswith(".parquet"))
    with pytest.raises(RunError, match=r"cannot read .*\.parquet") as caught:
        read(dataset)
    assert caught.value.exit_status == 4
    assert "prepare the data" not in str(caught.value)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("good_reads", [0, 1, 2])
def test_a_fault_in_the_middle_of_a_file_is_no_damage(
    folder: Path, fault: str, good_reads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = PreparedDataset.open(str(folder))
    break_reads(monkeypatch, FAULTS[fault], lambda path: path.endswith(".parquet"), good_reads)
    with pytest.raises(RunError, match="cannot read"):
        read_index(dataset, SPLIT)
    with pytest.raises(RunError, match="cannot read"):
        choose(prepared_parts(dataset, SPLIT), partial(image_names, data=dataset.store), None, 2)


@pytest.mark.parametrize("read", READERS)
def test_a_file_that_goes_away_is_named(folder: Path, read: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = PreparedDataset.open(str(folder))
    names = dataset.files(SPLIT)
    monkeypatch.setattr(PreparedDataset, "files", lambda *_: names)
    only_file(folder).unlink()
    with pytest.raises(DataError, match=r"part-00000\.parquet is gone"):
        read(dataset)
