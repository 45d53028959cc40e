"""Claims on output folders: finished work, other settings, folders of other people, killed runs."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cxr_spark.errors import RunError, UsageError
from cxr_spark.outputs import claim as output
from cxr_spark.outputs import ownership
from cxr_spark.outputs.claim import claim, digest, finished_before, write_status
from cxr_spark.outputs.lock import LOCK_NAME
from cxr_spark.outputs.mark import note
from cxr_spark.outputs.overlap import refuse_overlap
from cxr_spark.storage.json_values import as_json
from cxr_spark.storage.store import Store
from tests.support.stores import folder_of

SETTINGS: dict[str, Any] = {"size": 224, "images": ["file:///a"], "model": {"name": "resnet50"}}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "out"))


def work(store: Store, job: str = "prepare", settings: dict[str, Any] | None = None, overwrite: bool = False) -> str:
    """Does a job's work, and returns what happened."""
    with claim(store, job, SETTINGS if settings is None else settings, overwrite) as claimed:
        if claimed.finished is not None:
            return f"finished {claimed.finished}"
        before = [name for name in store.names() if not name.startswith("_")]
        claimed.note(["data/part"])
        store.write_bytes("data/part", b"1")
        claimed.done({"images": 3})
    return f"worked on {before}"


def write_own(store: Store, names: list[str]) -> None:
    """Writes files as a job does whose names come from its data."""
    note(store, names)
    for name in names:
        store.write_bytes(name, b"old")


def fail(store: Store, job: str) -> None:
    with contextlib.suppress(ZeroDivisionError), claim(store, job, SETTINGS, False):
        store.write_bytes("checkpoints/1", b"ten hours of work")
        raise ZeroDivisionError


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_finished_work_is_recognised_and_left_alone(store: Store) -> None:
    assert work(store) == "worked on []"
    before = tree(folder_of(store))
    assert work(store) == "finished {'images': 3}"
    assert work(store, settings=dict(reversed(SETTINGS.items()))) == "finished {'images': 3}"
    assert tree(folder_of(store)) == before
    assert store.names() == ["_cxr_spark.json", "_done.json", "data"]  # no lock stays


def test_finished_work_is_known_without_a_lock(store: Store) -> None:
    assert finished_before(store, "prepare", SETTINGS) is None
    assert not store.exists()
    work(store)
    with claim(store, "prepare", SETTINGS, False):
        assert finished_before(store, "prepare", SETTINGS) == {"images": 3}
    assert finished_before(store, "prepare", {**SETTINGS, "size": 64}) is None
    assert finished_before(store, "train", SETTINGS) is None


def test_done_tells_what_was_done(store: Store) -> None:
    work(store)
    done = json.loads((folder_of(store) / "_done.json").read_bytes())
    assert done["job"] == "prepare"
    assert done["inputs"] == SETTINGS
    assert done["summary"] == {"images": 3}


def test_other_settings_are_refused_with_what_differs(store: Store) -> None:
    work(store)
    before = tree(folder_of(store))
    with pytest.raises(UsageError) as caught:
        work(store, settings={**SETTINGS, "size": 64, "model": {"name": "vgg16"}})
    message = str(caught.value)
    assert "size was 224, is 64" in message
    assert 'model.name was "resnet50", is "vgg16"' in message
    assert "--overwrite" in message
    assert "images was" not in message
    assert tree(folder_of(store)) == before


def test_overwrite_begins_anew(store: Store) -> None:
    work(store)
    (folder_of(store) / "stray").mkdir()
    assert work(store, settings={**SETTINGS, "size": 64}, overwrite=True) == "worked on []"
    assert work(store, settings={**SETTINGS, "size": 64}) == "finished {'images': 3}"
    assert store.names() == ["_cxr_spark.json", "_done.json", "data"]


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


def test_damaged_sign_of_finished_work_counts_as_unfinished(store: Store) -> None:
    work(store)
    for damaged in (b"", b'{"job": "prepare", "finger', b"[]", b'{"job": "prepare", "fingerprint": 1}'):
        store.write_bytes("_done.json", damaged)
        if damaged.endswith(b"1}"):
            with pytest.raises(UsageError, match="other settings"):
                work(store)
            assert work(store, overwrite=True) == "worked on []"
        else:
            assert work(store) == "worked on ['data']"


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


def test_fingerprints_do_not_depend_on_order_or_kind_of_container() -> None:
    assert digest({"a": 1, "b": (1, 2), "c": {"x", "y"}}) == digest({"c": ["x", "y"], "b": [1, 2], "a": 1})
    assert digest({"a": 1}) != digest({"a": 2})
    assert digest({"a": 1}) != digest({"a": "1"})


def test_summaries_are_json_whatever_the_numbers(store: Store) -> None:
    summary = {
        "auc": float("nan"), "loss": np.float32("inf"), "n": np.int64(3), "rate": np.float64(0.5),
        "list": np.array([1.0, np.nan]), "path": Path("/x"), 3: {"b", "a"}, "flag": True, "none": None,
    }  # fmt: skip
    with claim(store, "evaluate", SETTINGS, False) as claimed:
        claimed.done(summary)
    expected = {
        "auc": None, "loss": None, "n": 3, "rate": 0.5, "list": [1.0, None], "path": "/x", "3": ["a", "b"],
        "flag": True, "none": None,
    }  # fmt: skip
    assert json.loads((folder_of(store) / "_done.json").read_text())["summary"] == expected
    assert as_json(summary) == expected


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
