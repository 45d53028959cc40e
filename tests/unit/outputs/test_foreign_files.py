"""Files that a job did not write: whatever is run, killed and overwritten, they stay as they are."""

from __future__ import annotations

import contextlib
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cxr_spark.errors import UsageError
from cxr_spark.outputs.claim import Claim, claim, write_status
from cxr_spark.outputs.mark import MARK_NAME
from cxr_spark.outputs.names import OUTPUT_NAMES
from cxr_spark.outputs.own_files import delete_strays, finished_files
from cxr_spark.storage.store import Store
from tests.support.stores import folder_of

#: What a whole run of each job writes: names that need no note, and names that come from the data.
WRITTEN: dict[str, tuple[list[str], list[str]]] = {
    "prepare": (
        [
            "data/split=train/part-00000-0123456789abcdef.parquet",
            "data/split=test/part-00001-fedcba9876543210.parquet",
            "quarantine/part-names-0011223344556677.parquet",
            "quarantine/part-00001-0011223344556677.parquet",
            "manifest.json",
        ],
        [],
    ),
    "train": (
        [
            "checkpoints/step-00000012-0123456789abcdef.safetensors",
            "checkpoints/manifest.json",
            "history.json",
            "curves.png",
            "tensorboard/events.out.tfevents.cxr_spark",
            "model/weights.safetensors",
            "model/metadata.json",
            "model/metadata/part-00000",
            "model/metadata/.part-00000.crc",
            "model/metadata/_SUCCESS",
            "model/metadata/._SUCCESS.crc",
            "model/metadata/part-00000-0a1b2c3d-0a1b-0a1b-0a1b-0123456789ab-c000.txt",
        ],
        [],
    ),
    "score": (
        [
            "part-00000-0123456789ab.parquet",
            "_quarantine/part-names-0123456789ab.parquet",
            "part-00003-20240131T235959Z-0a1b2c3d.parquet",
            "_staged/part-00004-rest-0123456789ab.parquet",
            "_ledger.parquet",
        ],
        [],
    ),
    "evaluate": (
        [
            "roc.png",
            "roc.svg",
            "confusion_matrix.png",
            "report.html",
            "metrics.json",
            "tables/findings.csv",
            "tables/decisions_0_5.tex",
            "tables/decisions_most_probable.csv",
        ],
        [],
    ),
    "explore": (["explore.json", "explore.html", "class_balance.png", "intensity.png"], []),
    "explain": (
        ["localization.json", "_quarantine/part-00000.parquet"],
        ["00000001_000.png", "a_b~0123456789abcdef.png", "layers/layer4.2/00000001_000.png"],
    ),
    "benchmark": (["benchmark.json"], []),
    "sample-data": (
        ["SYNTHETIC.txt", "README.md", "Data_Entry_2017.csv", "train_val_list.txt"],
        ["images_001/images/00000001_000.png", "images_001/images/00000002_000.png"],
    ),
}
#: What people keep beside results.
FOREIGN = [
    "notes.txt",
    "images/1.png",
    "images_001/images/mine.png",
    "model/README.txt",
    "model/metadata/notes.txt",
    "checkpoints/best.safetensors",
    "data/split=train/mine.parquet",
    "data/mine.parquet",
    "part-00000.parquet",
    "_quarantine/review.csv",
    "_staged/mine.parquet",
    "_written/mine.json",
    "layers/sketch.svg",
    ".cxr-mine.tmp",
    "a b/ü/.hidden",
]


@pytest.fixture(autouse=True, scope="module")
def fast_disk() -> Iterator[None]:
    """Nothing here is about a machine that loses power: files need not be on the disk at once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


def write_all(claimed: Claim, job: str) -> None:
    alone, of_data = WRITTEN[job]
    if of_data:
        claimed.note(of_data)
    for name in (*of_data, *alone):
        claimed.store.write_bytes(name, f"{job} wrote it".encode())


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


def put(folder: Path, names: list[str], content: bytes = b"mine") -> dict[Path, bytes]:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return {folder / name: content for name in names}


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() or path.is_symlink()}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "out"))


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


class Killed(BaseException):
    """As if the process were gone: nothing that follows in it is run, not even what cleans up."""


@contextmanager
def killed_after(writes: int) -> Iterator[None]:
    """Lets so many changes of storage happen, and none after."""
    left = writes
    names = ("write_bytes", "delete", "create_exclusive", "remove_folder")
    whole = {name: getattr(Store, name) for name in names}

    def counted(name: str) -> Any:
        def change(self: Store, path: str = "", *arguments: Any, **options: Any) -> Any:
            nonlocal left
            if left <= 0:
                raise Killed
            left -= 1
            return whole[name](self, path, *arguments, **options)

        return change

    with pytest.MonkeyPatch.context() as patch:
        for name in names:
            patch.setattr(Store, name, counted(name))
        yield


NAMES = st.lists(
    st.sampled_from([*FOREIGN, *(f"x/{i}" for i in range(3))])
    | st.builds(
        "/".join,
        st.lists(
            st.sampled_from(["data", "model", "split=train", "checkpoints", "images_001", "layers", "q", "_staged"]),
            min_size=1,
            max_size=3,
        ).map(lambda parts: [*parts, "own.txt"]),
    ),
    max_size=6,
    unique=True,
)
STEPS = st.lists(
    st.tuples(
        NAMES,  # files that somebody puts there before the run
        st.booleans(),  # --overwrite
        st.booleans(),  # whether the job clears what a killed run left
        st.integers(1, 2),  # settings
        st.none() | st.integers(0, 40),  # when it is killed
    ),
    min_size=1,
    max_size=5,
)


@given(job=st.sampled_from(sorted(WRITTEN)), steps=STEPS, around=NAMES)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_foreign_file_is_ever_changed(
    job: str, steps: list[Any], around: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("property")
    store = Store(str(folder / "out"))
    foreign = put(folder / "beside", around)
    has_run = False
    for names, overwrite, clears, value, kill in steps:
        if has_run:  # before the first run the folder would be refused
            foreign |= put(folder_of(store), names)
        with killed_after(10**6 if kill is None else kill):
            try:
                with claim(store, job, {"value": value}, overwrite) as claimed:
                    if claimed.finished is None:
                        if clears:
                            claimed.clear()
                        write_all(claimed, job)
                        delete_strays(store, job, WRITTEN[job][0][:1])
                        write_all(claimed, job)
                        claimed.done({})
                write_status(store, job, {"exit_status": 0})
            except (Killed, UsageError):
                pass
        for lock in folder_of(store).glob("_lock.*"):  # the process lives, so its lock would count
            lock.unlink()
        has_run = has_run or store.exists(MARK_NAME)
        assert {path: path.read_bytes() for path in foreign} == foreign
    # What is left of the job is found again, whenever it was killed.
    if store.exists(MARK_NAME):
        with claim(store, job, {"value": 3}, True):
            left = {name for name in files(folder_of(store)) if not name.startswith("_lock")}
        assert {folder_of(store) / name for name in left} - set(foreign) == {folder_of(store) / MARK_NAME}
        assert {path: path.read_bytes() for path in foreign} == foreign
