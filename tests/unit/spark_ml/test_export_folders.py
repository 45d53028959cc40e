"""Exports that a killed `fit` leaves behind: the next one deletes them, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cxr_spark.outputs.lock import Lock
from cxr_spark.spark_ml.export_folders import delete_dead_exports, delete_export, exports
from cxr_spark.storage.store import Store

PART = "data/split=train/part-00000-0a1b2c3d-0a1b-0a1b-0a1b-0123456789ab.c000.snappy.parquet"
WRITTEN = [
    PART,
    "data/split=train/.part-00000-0a1b2c3d-0a1b-0a1b-0a1b-0123456789ab.c000.snappy.parquet.crc",
    "data/_temporary/0/_temporary/attempt_1/split=val/part-00001-x.parquet",
    "data/_SUCCESS",
    "data/._SUCCESS.crc",
]
#: Holds the lock of an export, and is killed.
KILLED = """
import os, signal, sys
from cxr_spark.outputs.lock import Lock
from cxr_spark.storage.store import Store
Lock(Store(sys.argv[1]), "fit")
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def work(tmp_path: Path) -> Path:
    return tmp_path / "work"


def export(work: Path, digit: str, *, manifest: bool = False, days_old: float = 0) -> Path:
    folder = work / f"data-{digit * 16}"
    for name in [*WRITTEN, *(["manifest.json"] if manifest else [])]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"{}")
        then = time.time() - days_old * 86400
        os.utime(folder / name, (then, then))
    return folder


def test_what_a_killed_fit_left_is_deleted_by_the_next(work: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = export(work, "a")
    assert subprocess.run([sys.executable, "-c", KILLED, folder.as_uri()], check=False).returncode == -9
    complete = export(work, "b", manifest=True, days_old=30)
    delete_dead_exports(Store(str(work)))
    assert [path.name for path in work.iterdir()] == [complete.name]
    assert f"{folder.name}, left by a `fit` that was killed" in caplog.text


def test_what_a_living_fit_writes_stays(work: Path) -> None:
    folder = export(work, "a", days_old=30)
    lock = Lock(Store(folder.as_uri()), "fit")
    delete_dead_exports(Store(str(work)))
    assert (folder / PART).exists()
    lock.release()


def test_without_a_lock_only_what_has_long_been_still_is_deleted(work: Path) -> None:
    """Exports of earlier versions have no lock, and that of another machine may still be written."""
    export(work, "a", days_old=2)
    young = export(work, "b", days_old=0.5)
    delete_dead_exports(Store(str(work)))
    assert exports(Store(str(work))) == [young.name]


def test_files_of_others_stay(work: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = export(work, "a", days_old=2)
    others = [folder / "notes.txt", folder / "data" / "mine.parquet", work / "data-mine" / "x", work / "run-1" / "y"]
    for path in others:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"mine")
        os.utime(path, (0, 0))
    delete_dead_exports(Store(str(work)))
    assert sorted(path for path in work.rglob("*") if path.is_file()) == sorted(others)
    assert "files that `fit` did not write" in caplog.text


def test_there_may_be_nothing(work: Path) -> None:
    delete_dead_exports(Store(str(work)))
    delete_export(Store(str(work)), "data-0123456789abcdef")
    assert exports(Store(str(work))) == []
