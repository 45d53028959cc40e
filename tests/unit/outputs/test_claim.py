"""Claims of output folders: by one run at a time, and of nothing that is somebody else's."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path

import pytest

from cxr_spark.errors import RunError, UsageError
from cxr_spark.outputs import claim as output
from cxr_spark.outputs import ownership
from cxr_spark.outputs.claim import claim, write_status
from cxr_spark.outputs.lock import LOCK_NAME
from cxr_spark.outputs.mark import note
from cxr_spark.outputs.overlap import refuse_overlap
from cxr_spark.storage.store import Store
from tests.support.claims import SETTINGS, tree, work
from tests.support.stores import folder_of


def write_own(store: Store, names: list[str]) -> None:
    """Writes files as a job does whose names come from its data."""
    note(store, names)
    for name in names:
        store.write_bytes(name, b"old")


def fail(store: Store, job: str) -> None:
    with contextlib.suppress(ZeroDivisionError), claim(store, job, SETTINGS, False):
        store.write_bytes("checkpoints/1", b"ten hours of work")
        raise ZeroDivisionError


def test_a_run_that_failed_is_done_again_from_what_it_left(store: Store) -> None:
    fail(store, "train")
    assert not store.exists(LOCK_NAME)
    assert work(store, "train") == "worked on ['checkpoints']"


def test_half_written_files_of_a_killed_run_are_removed(store: Store) -> None:
    work(store)
    store.delete("_done.json")
    (folder_of(store) / "data" / ".cxr-0123456789abcdef.tmp").write_bytes(b"half")
    work(store)
    assert tree(folder_of(store) / "data") == {"part": b"1"}


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_of_someone_else_is_refused_and_not_touched(tmp_path: Path, overwrite: bool) -> None:
    home = tmp_path / "home"
    for name in (".bashrc", "thesis/draft.tex", "_SUCCESS"):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_bytes(b"precious")
    times = {path: path.stat().st_mtime_ns for path in [home, *home.rglob("*")]}
    for folder in (home, home / "thesis"):
        with pytest.raises(UsageError, match="which cxr_spark did not write"):
            work(Store(str(folder)), overwrite=overwrite)
    assert {path: path.stat().st_mtime_ns for path in [home, *home.rglob("*")]} == times


@pytest.mark.parametrize("overwrite", [False, True])
def test_the_output_of_another_job_is_refused(store: Store, overwrite: bool) -> None:
    work(store, "prepare")
    with pytest.raises(UsageError, match="'prepare', not of 'train'"):
        work(store, "train", overwrite=overwrite)
    assert work(store, "prepare") == "finished {'images': 3}"


def test_the_unfinished_output_of_another_job_is_refused(store: Store) -> None:
    fail(store, "train")
    with pytest.raises(UsageError, match="'train', not of 'prepare'"):
        work(store, "prepare", overwrite=True)


def test_an_empty_folder_and_one_with_only_a_status_are_free(store: Store) -> None:
    folder_of(store).mkdir(parents=True)
    assert write_status(store, "train", {"exit_status": 2})
    assert work(store, "prepare") == "worked on []"


def test_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"precious")
    with pytest.raises(UsageError, match="is a file"):
        work(Store(str(tmp_path / "file")), overwrite=True)
    assert (tmp_path / "file").read_bytes() == b"precious"


def test_overwrite_does_not_follow_links(store: Store, tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "x").write_bytes(b"1")
    work(store)
    (folder_of(store) / "link").symlink_to(tmp_path / "precious")
    work(store, overwrite=True)
    assert (tmp_path / "precious" / "x").exists()


def test_an_overwrite_killed_half_way_is_never_taken_for_a_whole(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    work(store)
    names = [f"data/{i}" for i in range(4)] + ["a", "z"]
    write_own(store, names)
    delete = Store.delete
    for kill_at in range(4):
        deletions = 0

        def killed(self: Store, name: str = "", at: int = kill_at) -> None:
            nonlocal deletions
            if not name.startswith("_lock"):
                if deletions == at:
                    raise KeyboardInterrupt
                deletions += 1
            delete(self, name)

        with monkeypatch.context() as patch:
            patch.setattr(Store, "delete", killed)
            with pytest.raises(KeyboardInterrupt):
                work(store, overwrite=True)
        # Without --overwrite: not finished, and nothing of the old is there to go on from.
        assert work(store) == "worked on []"
        write_own(store, names)


def test_a_run_whose_folder_was_taken_over_does_not_finish(store: Store) -> None:
    with claim(store, "prepare", SETTINGS, False) as claimed:
        store.write_json(LOCK_NAME, {"token": "f" * 32, "where": "elsewhere"})
        with pytest.raises(RunError, match="took"):
            claimed.done({})
    assert not store.exists("_done.json")
    assert store.exists(LOCK_NAME)  # the other's


KILLED = """
import os, signal, sys
from cxr_spark.outputs.claim import claim
from cxr_spark.storage.store import Store
store = Store(sys.argv[1])
with claim(store, "prepare", {"size": 1}, False) as claimed:
    claimed.note(["data/part"])
    store.write_bytes("data/part", b"half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_same_command_goes_on_at_once_after_kill_9(store: Store) -> None:
    assert subprocess.run([sys.executable, "-c", KILLED, store.uri], check=False).returncode == -9
    assert store.exists(LOCK_NAME)
    assert work(store, settings={"size": 1}) == "worked on ['data']"


def test_two_live_runs_refuse_each_other(store: Store) -> None:
    with claim(store, "prepare", SETTINGS, False):
        for overwrite in (False, True):
            with pytest.raises(UsageError, match="in use by 'prepare'"):
                work(store, overwrite=overwrite)


def test_overlapping_folders_are_refused() -> None:
    refuse_overlap("file:///data/out", {"--images": ["file:///data/images", "hdfs://n/data/out"]})
    with pytest.raises(UsageError, match=r"--labels file:///data/out/labels\.csv lies in --out"):
        refuse_overlap("file:///data/out", {"--images": [], "--labels": ["file:///data/out/labels.csv"]})
    with pytest.raises(UsageError, match="--out file:///data/images/out lies in --images"):
        refuse_overlap("file:///data/images/out", {"--images": ["file:///data/images"]})
    with pytest.raises(UsageError, match="lies in"):
        refuse_overlap("file:///data", {"--images": ["file:///data"]})


def test_object_stores_too() -> None:
    store = Store("memory://claims/out")
    assert work(store) == "worked on []"
    assert work(store) == "finished {'images': 3}"
    assert work(store, settings={}, overwrite=True) == "worked on []"
    with pytest.raises(UsageError, match="did not write"):
        work(Store("memory://claims"))


def test_names_that_others_use() -> None:
    assert (output.DONE_NAME, output.STATUS_NAME) == (ownership.DONE_NAME, ownership.STATUS_NAME)
