"""Nightly scoring that was killed before its last note: scores of other settings never come into the same folder."""

from __future__ import annotations

import contextlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cxr_spark.config import ScoreSettings
from cxr_spark.errors import RunError, UsageError
from cxr_spark.outputs.claim import claim
from cxr_spark.scoring.incremental import score_new
from cxr_spark.scoring.ledger import LEDGER_NAME, STAGED, Entry, Ledger
from cxr_spark.scoring.models import Models
from cxr_spark.storage.store import Store

TORCH: dict[str, Any] = {"incremental": True, "findings": ["Mass"]}
OPENVINO = {**TORCH, "engine": "openvino", "scoring_precision": "fp32"}
PART = "part-00000-20240131T235959Z-0a1b2c3d.parquet"
NEW_PART = "part-00000-20240201T000000Z-4e5f6a7b.parquet"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "1.png").write_bytes(b"scored before")
    return Store(f"file://{tmp_path}/scores")


def scored_before(store: Store, settings: dict[str, Any] | None) -> None:
    """Leaves what a run leaves that is killed between its commit and the publication of its files."""
    image = next(Store(store.uri.removesuffix("/scores") + "/images").files())
    with contextlib.suppress(ZeroDivisionError), claim(store, "score", settings or TORCH, False):
        store.write_bytes(f"{STAGED}/{PART}", b"scores")
        ledger = Ledger(store)
        ledger.settings = settings
        ledger.replace([Entry(image.uri, image.size, image.modified, "m", "1.png", PART, None)])
        ledger.commit()
        raise ZeroDivisionError


def go_on(store: Store, settings: dict[str, Any], *, overwrite: bool = False) -> dict[str, Any]:
    models: Models = SimpleNamespace(model_id="m")  # type: ignore[assignment]
    application: Any = SimpleNamespace(spark=SimpleNamespace(sparkContext=SimpleNamespace(defaultParallelism=1)))
    images = [store.uri.removesuffix("/scores") + "/images"]
    with claim(store, "score", settings, overwrite) as claimed:
        form: Any = None
        return score_new(application, claimed, images, ScoreSettings(), models, form, settings)


def test_a_killed_run_is_not_continued_by_another_engine(store: Store) -> None:
    scored_before(store, TORCH)
    with pytest.raises(UsageError, match=r"other settings \(engine was null, is \"openvino\".*or say --overwrite"):
        go_on(store, OPENVINO)
    assert not store.exists(PART)
    assert go_on(store, TORCH) == {"images": 0, "changed": 0, "quarantined": {}, "known": 1}
    assert store.read_bytes(PART) == b"scores"


def test_overwrite_starts_anew_with_the_other_engine(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    scored_before(store, TORCH)

    def score(application: Any, store: Store, *rest: Any) -> list[Entry]:
        (file,) = rest[-1]
        store.write_bytes(f"{STAGED}/{NEW_PART}", b"scores of the other engine")
        return [Entry(file.uri, file.size, file.modified, "m", "1.png", NEW_PART, None)]

    monkeypatch.setattr("cxr_spark.scoring.incremental._score", score)
    assert go_on(store, OPENVINO, overwrite=True) == {"images": 1, "changed": 0, "quarantined": {}, "known": 1}
    assert not store.exists(PART)
    assert store.read_bytes(NEW_PART) == b"scores of the other engine"
    assert Ledger.read(store).settings == OPENVINO


def test_a_ledger_of_an_earlier_version_is_continued(store: Store) -> None:
    scored_before(store, None)
    assert go_on(store, OPENVINO)["known"] == 1


@pytest.mark.parametrize("note", [b"{", b"\xff", b"[]", b"[" * 100_000])
def test_a_damaged_note_of_settings_is_one_clear_line(store: Store, note: bytes) -> None:
    scored_before(store, TORCH)
    table = pq.read_table(pa.BufferReader(store.read_bytes(LEDGER_NAME)))
    sink = pa.BufferOutputStream()
    pq.write_table(table.replace_schema_metadata({b"cxr_spark.settings": note}), sink)
    store.write_bytes(LEDGER_NAME, memoryview(sink.getvalue()))
    with pytest.raises(RunError, match=r"_ledger\.parquet is damaged .*score into a new --out"):
        Ledger.read(store)
