"""The file of a converted network: it says which network it is, and nothing that was changed is taken."""

from __future__ import annotations

from pathlib import Path

import pytest

from cxr_spark.models.metadata import BuildArguments, ModelMetadata, Preprocessing
from cxr_spark.scoring.converted import CONVERTED_NAME, Converted, key_of
from cxr_spark.scoring.kept_conversion import keep, kept_conversion
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
    assert Converted.from_bytes(kept, "x") == network()


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
def test_a_damaged_one_is_told_and_not_taken(store: Store, damaged: bytes, caplog: pytest.LogCaptureFixture) -> None:
    assert damaged != WHOLE
    store.write_bytes(CONVERTED_NAME, damaged)
    assert kept_conversion(store, metadata()) is None
    (line,) = caplog.messages
    assert CONVERTED_NAME in line
    assert "delete it" in line
