"""The status of a run in its output folder."""

from __future__ import annotations

from pathlib import Path

from cxr_spark.outputs.claim import claim, write_status
from cxr_spark.storage.store import Store
from tests.support.claims import SETTINGS, work


def test_status_is_written_only_to_an_own_folder_that_no_one_uses(store: Store, tmp_path: Path) -> None:
    work(store)
    assert write_status(store, "prepare", {"exit_status": 3})
    assert store.read_json("_status.json") == {"exit_status": 3}
    assert not write_status(store, "train", {"exit_status": 4})
    with claim(store, "prepare", SETTINGS, False):
        assert not write_status(store, "prepare", {"exit_status": 2})
    assert store.read_json("_status.json") == {"exit_status": 3}
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis").write_bytes(b"")
    assert not write_status(Store(str(tmp_path / "home")), "prepare", {"exit_status": 2})
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["thesis"]
