"""The page follows a training, and no fault of it ends one."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

import pytest

from cxr_spark.storage.store import Store
from cxr_spark.training.live.following import TrainingPage, live_page
from tests.support.prepared_sets import write_prepared
from tests.support.tiny_training import tiny_spec
from tests.unit.training.live.test_page import history


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr("cxr_spark.training.live.following.LOOK_EVERY", 0.05)
    (tmp_path / "run").mkdir()
    return tiny_spec(write_prepared(tmp_path / "prepared", {"train": 8, "val": 4}), tmp_path / "run", epochs=5)


def wait_for(page: Path, text: str) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if page.exists() and text in page.read_text(encoding="utf-8"):
            return
        time.sleep(0.02)
    pytest.fail(f"{text!r} is not on the page")


def test_the_page_is_renewed_after_every_epoch(spec: Any, tmp_path: Path) -> None:
    page = tmp_path / "run" / "training.html"
    with live_page(spec):
        wait_for(page, "running, 0 of 5 epochs done")
        for epochs in (1, 2):
            spec.run.write_json("history.json", history(epochs))
            wait_for(page, f"running, {epochs} of 5 epochs done")
            assert (tmp_path / "run" / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_a_training_that_fails_is_told_as_stopped(spec: Any, tmp_path: Path) -> None:
    spec.run.write_json("history.json", history(2))
    with pytest.raises(ZeroDivisionError), live_page(spec):
        raise ZeroDivisionError
    assert "stopped, 2 of 5 epochs done" in (tmp_path / "run" / "training.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("damaged", [b"{", b'{"a": 1}', b"[1, 2]"])
def test_neither_a_fault_of_the_storage_nor_a_damaged_history_ends_a_training(
    damaged: bytes, spec: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The page is renewed again as soon as the storage answers."""
    spec.run.write_bytes("history.json", damaged)
    real = Store.write_bytes

    def full(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(Store, "write_bytes", full)
    with caplog.at_level(logging.WARNING), live_page(spec):
        deadline = time.monotonic() + 60
        while "is not renewed" not in caplog.text and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(0.3)
        monkeypatch.setattr(Store, "write_bytes", real)
        spec.run.write_json("history.json", history(3))
        wait_for(tmp_path / "run" / "training.html", "running, 3 of 5 epochs done")
    assert caplog.text.count("is not renewed") == 1


def test_passwords_are_not_on_the_page(spec: Any, tmp_path: Path) -> None:
    weights = "https://anna:secret@host/weights.safetensors"
    other = spec.model_copy(update={"model": spec.model.model_copy(update={"weights": weights})})
    TrainingPage(other).renew("finished", history(1))
    html = (tmp_path / "run" / "training.html").read_text(encoding="utf-8")
    assert "secret" not in html
    assert "https://***@host/weights.safetensors" in html
