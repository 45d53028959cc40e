"""What others put into an output folder is neither deleted nor replaced, whatever job writes there."""

from __future__ import annotations

import contextlib
import logging
import re
from pathlib import Path
from typing import Any

import pytest

from cxr_spark.errors import UsageError
from cxr_spark.outputs.claim import claim
from cxr_spark.outputs.mark import MARK_NAME
from cxr_spark.outputs.names import CONVERTED_NAME, OUTPUT_NAMES
from cxr_spark.outputs.own_files import delete_strays, finished_files
from cxr_spark.storage.store import Store
from tests.support.job_outputs import FOREIGN, WRITTEN, files, put, write_all
from tests.support.stores import folder_of

pytestmark = pytest.mark.usefixtures("fast_disk")


def run(store: Store, job: str, *, overwrite: bool = False, value: int = 1) -> None:
    with claim(store, job, {"value": value}, overwrite) as claimed:
        if claimed.finished is None:
            write_all(claimed, job)
            claimed.done({})


def fail(store: Store, job: str, writes: bool = True) -> None:
    with contextlib.suppress(ZeroDivisionError), claim(store, job, {"value": 1}, False) as claimed:
        if writes:
            write_all(claimed, job)
        raise ZeroDivisionError


def test_every_job_that_writes_a_folder_is_here() -> None:
    assert set(WRITTEN) == set(OUTPUT_NAMES)


@pytest.mark.parametrize("job", WRITTEN)
def test_overwrite_deletes_what_the_job_wrote_and_nothing_else(job: str, store: Store, caplog: Any) -> None:
    run(store, job)
    foreign = put(folder_of(store), FOREIGN)
    with caplog.at_level(logging.WARNING), claim(store, job, {"value": 2}, True):
        left = files(folder_of(store))
    assert {name for name in left if not name.startswith("_lock")} == {*FOREIGN, MARK_NAME}
    assert all(path.read_bytes() == content for path, content in foreign.items())
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert any("notes.txt" in text and f"{len(FOREIGN)} files" in text for text in told)


@pytest.mark.parametrize(
    ("job", "model"), [("train", "model"), ("train --folds", "fold_1/model"), ("train --folds", "fold_12/model")]
)
@pytest.mark.parametrize("overwrite", [True, False])
def test_a_network_that_score_converted_is_not_in_the_way_of_the_training(
    job: str, model: str, overwrite: bool, store: Store
) -> None:
    """`score --engine openvino` keeps it in the model folder after the training has listed its files."""
    run(store, job)
    name, others = f"{model}/{CONVERTED_NAME}", [f"{model}/other.safetensors", "openvino.safetensors"]
    put(folder_of(store), [name, *others])
    with claim(store, job, {"value": 2}, overwrite, lambda _: True) as claimed:
        assert store.exists(name) != overwrite
        assert claimed.foreign == set(others)
        write_all(claimed, job)
        claimed.done({})
    assert all(store.exists(other) for other in others)
    assert (name in (finished_files(store, job) or ())) != overwrite


@pytest.mark.parametrize("job", WRITTEN)
def test_a_job_that_goes_on_deletes_nothing(job: str, store: Store, caplog: Any) -> None:
    fail(store, job)
    foreign = put(folder_of(store), FOREIGN)
    with caplog.at_level(logging.WARNING):
        run(store, job)
    assert all(path.read_bytes() == content for path, content in foreign.items())
    assert f"{len(FOREIGN)} files that `cxr-spark {job}` did not write, and they stay" in caplog.text


@pytest.mark.parametrize("job", WRITTEN)
def test_a_job_that_cannot_go_on_starts_with_none_of_its_old_files(job: str, store: Store, caplog: Any) -> None:
    """`score`, `prepare`, `explain` and `sample-data` clear what a killed run left, without `--overwrite`."""
    fail(store, job)
    foreign = put(folder_of(store), FOREIGN)
    with caplog.at_level(logging.WARNING), claim(store, job, {"value": 1}, False) as claimed:
        claimed.clear()
        assert {name for name in files(folder_of(store)) if not name.startswith("_lock")} == {*FOREIGN, MARK_NAME}
    assert all(path.read_bytes() == content for path, content in foreign.items())
    assert caplog.text.count("did not write") == 1


@pytest.mark.parametrize("job", WRITTEN)
@pytest.mark.parametrize("finished", [True, False])
def test_outputs_of_the_version_before_are_recognised_and_cleaned(job: str, finished: bool, store: Store) -> None:
    alone, of_data = WRITTEN[job]
    put(folder_of(store), [*alone, *of_data])
    store.write_json(MARK_NAME, {"job": job, "state": "open", "about": "...", "since": "2024-01-01T00:00:00Z"})
    if finished:
        store.write_json("_done.json", {"job": job, "fingerprint": "0" * 64, "inputs": {}, "summary": {"images": 3}})
    foreign = [name for name in FOREIGN if not OUTPUT_NAMES[job].of_data.fullmatch(name)]
    put(folder_of(store), foreign)
    with claim(store, job, {"value": 1}, True):
        assert {name for name in files(folder_of(store)) if not name.startswith("_lock")} == {*foreign, MARK_NAME}


def test_an_unfinished_output_of_the_version_before_is_taken_up_and_cleaned_later(store: Store) -> None:
    put(folder_of(store), ["00000001_000.png", "_quarantine/part-00000.parquet"])
    store.write_json(MARK_NAME, {"job": "explain", "state": "open"})
    with claim(store, "explain", {"value": 1}, False):
        pass
    put(folder_of(store), ["00000002_000.png"])
    with claim(store, "explain", {"value": 1}, True):
        assert {name for name in files(folder_of(store)) if not name.startswith("_")} == {"00000002_000.png"}


def test_a_name_like_the_jobs_own_proves_nothing_in_finished_output(store: Store) -> None:
    """Somebody copied a part of another dataset into this one."""
    run(store, "prepare")
    copied = "data/split=train/part-00007-aaaaaaaaaaaaaaaa.parquet"
    put(folder_of(store), [copied])
    assert finished_files(store, "prepare") == set(WRITTEN["prepare"][0])
    run(store, "prepare", overwrite=True, value=2)
    assert (folder_of(store) / copied).read_bytes() == b"mine"
    with claim(store, "prepare", {"value": 3}, True) as claimed:
        delete_strays(store, "prepare", [])
        assert copied in claimed.foreign
    assert (folder_of(store) / copied).read_bytes() == b"mine"


def test_an_image_of_somebody_else_is_neither_deleted_nor_replaced(store: Store) -> None:
    run(store, "explain")
    put(folder_of(store), ["00000099_000.png"])
    with claim(store, "explain", {"value": 2}, True) as claimed:
        assert claimed.foreign == {"00000099_000.png"}
        with pytest.raises(UsageError, match=r"00000099_000\.png, which `cxr-spark explain` did not write"):
            claimed.note(["00000098_000.png", "00000099_000.png"])
    run(store, "explain", overwrite=True, value=3)
    assert (folder_of(store) / "00000099_000.png").read_bytes() == b"mine"


def test_files_that_no_task_reported_are_deleted_and_others_stay(store: Store) -> None:
    kept, stray = (f"data/split=train/part-0000{i}-0123456789abcdef.parquet" for i in range(2))
    with claim(store, "prepare", {}, False):
        put(folder_of(store), [kept, stray, "data/split=train/mine.parquet", "data/split=train/part-2.parquet"])
        delete_strays(store, "prepare", [kept])
        assert {name for name in files(folder_of(store)) if name.startswith("data")} == {
            kept,
            "data/split=train/mine.parquet",
            "data/split=train/part-2.parquet",
        }


@pytest.mark.parametrize("job", WRITTEN)
def test_links_in_an_output_are_not_followed(job: str, store: Store, tmp_path: Path) -> None:
    run(store, job)
    names = [*WRITTEN[job][0], *WRITTEN[job][1]]
    elsewhere = put(tmp_path / "elsewhere", names)
    (folder_of(store) / "link").symlink_to(tmp_path / "elsewhere")
    (folder_of(store) / "more").mkdir()
    (folder_of(store) / "more" / "link").symlink_to(tmp_path / "elsewhere" / names[0])
    run(store, job, overwrite=True, value=2)
    assert all(path.read_bytes() == content for path, content in elsewhere.items())
    assert (folder_of(store) / "link").is_symlink()
    assert (folder_of(store) / "more" / "link").is_symlink()


@pytest.mark.parametrize("name", ["model", "model/metadata.json", "checkpoints", "history.json"])
@pytest.mark.parametrize("overwrite", [True, False])
def test_a_link_where_the_job_writes_is_refused(name: str, overwrite: bool, store: Store, tmp_path: Path) -> None:
    """Through it the job would write over what the link leads to, or in place of the link."""
    elsewhere = put(tmp_path / "elsewhere", ["metadata.json", "weights.safetensors"])
    fail(store, "train", writes=False)
    (folder_of(store) / name).parent.mkdir(exist_ok=True)
    (folder_of(store) / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match=f"symbolic link {re.escape(name)}"):
        run(store, "train", overwrite=overwrite)
    assert all(path.read_bytes() == content for path, content in elsewhere.items())
    assert (folder_of(store) / name).is_symlink()


def test_object_stores_too() -> None:
    store = Store("memory://foreign/out")
    for job in ("prepare", "explain"):
        folder = store.child(job)
        run(folder, job)
        for name in ("notes.txt", "data/mine.parquet"):
            folder.write_bytes(name, b"mine")
        with claim(folder, job, {"value": 2}, True):
            left = [info.name for info in folder.files() if not info.name.startswith("_lock")]
        assert left == [MARK_NAME, "data/mine.parquet", "notes.txt"]
