"""The file of a converted network: it says which network it is, and nothing that was changed is taken."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import pytest

from cxr_spark.errors import DataError, UsageError
from cxr_spark.models.metadata import BuildArguments, ModelMetadata, Preprocessing
from cxr_spark.outputs.names import CONVERTED_NAME
from cxr_spark.scoring.converted import Converted, key_of
from cxr_spark.scoring.kept_conversion import converted_network, keep, kept_conversion
from cxr_spark.storage.store import Store


def metadata(**changed: object) -> ModelMetadata:
    sizes = Preprocessing(input_size=32, stored_size=40)
    known = {"architecture": "resnet50", "findings": ("A", "B"), "preprocessing": sizes, "weights_sha256": "a" * 64}
    return ModelMetadata(**{**known, **changed})  # type: ignore[arg-type]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(f"file://{tmp_path}")


def network() -> Converted:
    return Converted(b"<net/>", bytes(range(256)) * 8, key_of(metadata()))


def test_what_is_kept_is_found_again(store: Store) -> None:
    assert kept_conversion(store, metadata()) is None
    assert keep(store, network().to_bytes())
    kept = kept_conversion(store, metadata())
    assert kept is not None
    assert Converted.from_bytes(kept.data, "x") == network()


@pytest.mark.parametrize(
    "changed",
    [
        {"weights_sha256": "b" * 64},
        {"architecture": "resnet50_v1"},
        {"findings": ("A", "B", "C")},
        {"build": BuildArguments(batch_norm_epsilon=0.5)},
        {"preprocessing": Preprocessing(input_size=40, stored_size=40)},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_the_network_of_another_model_is_not_taken(store: Store, changed: dict[str, object]) -> None:
    keep(store, network().to_bytes())
    assert kept_conversion(store, metadata(**changed)) is None


def test_metadata_that_do_not_shape_the_network_change_nothing(store: Store) -> None:
    keep(store, network().to_bytes())
    same = metadata(metrics={"epoch": 3}, findings=("B", "A"), task="single_label")
    assert kept_conversion(store, same) is not None


WHOLE = network().to_bytes()


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"PK\x03\x04" * 9,
        b"\xff" * 300,
        WHOLE[:-1],
        WHOLE + b"x",
        WHOLE[:-9] + bytes([WHOLE[-9] ^ 1]) + WHOLE[-8:],
        WHOLE.replace(b"<net/>", b"<NET/>"),
        WHOLE.replace(b"sha256", b"sha257"),
    ],
    ids=range(8),
)
def test_a_damaged_one_is_told_and_not_taken(store: Store, damaged: bytes) -> None:
    assert damaged != WHOLE
    store.write_bytes(CONVERTED_NAME, damaged)
    with pytest.raises(DataError, match=rf"{CONVERTED_NAME} .*delete it"):
        kept_conversion(store, metadata())


def test_a_damaged_one_without_torch_is_told_as_what_it_is(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"holds no converted network of its weights, and converting one needs torch"):
        converted_network(store, metadata())
    store.write_bytes(CONVERTED_NAME, WHOLE[:-1])
    with pytest.raises(UsageError, match=rf"cannot be used \(.*{CONVERTED_NAME} is no converted .*needs torch"):
        converted_network(store, metadata())
    assert caplog.messages == []  # nothing is converted anew


def test_a_folder_that_a_training_takes_up_meanwhile_does_not_fail_the_job(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def replaced_late(temporary: str, path: str) -> None:
        store.delete_temporaries()
        replace(temporary, path)

    replace = os.replace
    monkeypatch.setattr("os.replace", replaced_late)
    assert not keep(store, WHOLE)
    assert not store.exists(CONVERTED_NAME)


def test_a_large_network_is_read_without_needless_copies() -> None:
    size = 16 << 20
    data = Converted(b"<net/>", bytes(size), key_of(metadata())).to_bytes()
    tracemalloc.start()
    try:
        Converted.from_bytes(data, "x")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2.5 * size
