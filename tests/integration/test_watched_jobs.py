"""In local mode no job listens on anything but loopback, and no other user of the machine reads its temporary files.

Every job is watched while it runs, and those that leave most behind also after a kill -9.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from cxr_spark.sample_data.writer import write_sample_data
from cxr_spark.storage.store import Store
from tests.support.watched import WatchedJob, is_loopback, with_reach

TRAINING = [
    part
    for value in (
        "model.architecture=efficientnet_b0",
        "model.input_size=32",
        "train.epochs=1",
        "train.global_batch=12",
    )
    for part in ("--set", value)
]
#: In the order in which one needs another's output; `train_2` is a training with two ranks.
JOBS = ("prepare", "train", "train_2", "score", "evaluate", "explain", "explore")
#: The driver evaluates a small table by itself.
WITHOUT_SPARK = ("evaluate",)
KILLED = ("prepare", "train", "score")


def options(job: str, folder: Path) -> list[object]:
    raw, data, run = folder / "raw", folder / "prepare", folder / "train"
    labels = ["--labels", raw / "Data_Entry_2017.csv"]
    return {
        "prepare": ["--images", raw / "images_*", *labels, "--split", "patient", "--size", "32"],
        "train": ["--data", data, *TRAINING],
        "train_2": ["--data", data, *TRAINING, "--workers", 2],
        "score": ["--data", data, "--model", run / "model"],
        "evaluate": ["--predictions", folder / "score"],
        "explain": ["--data", data, "--model", run / "model", "--limit", 4],
        "explore": ["--data", data],
    }[job]


def start(job: str, folder: Path, name: str) -> WatchedJob:
    line = [job.removesuffix("_2"), *options(job, folder), "--out", folder / job]
    return WatchedJob(folder / name, line)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images, and later the outputs of the jobs and a folder with the temporary files of each."""
    folder = tmp_path_factory.mktemp("watched")
    write_sample_data(Store(f"file://{folder}/raw"), 60, 64, 42)
    return folder


@pytest.fixture(scope="module")
def watched(folder: Path) -> dict[str, WatchedJob]:
    """Every job, run to its end; those of `KILLED` were killed once before."""
    done = {}
    for job in JOBS:
        if job in KILLED:
            done[f"{job} killed"] = start(job, folder, f"{job}_killed")
            done[f"{job} killed"].kill_while_spark_works()
        done[job] = start(job, folder, f"{job}_whole")
        done[job].to_the_end()
    return done


def test_the_walk_finds_what_others_can_read(tmp_path):
    for name, folder_mode, mode in (("open", 0o755, 0o644), ("shut", 0o700, 0o644), ("own", 0o755, 0o600)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("")
        (tmp_path / name / "file").chmod(mode)
        (tmp_path / name).chmod(folder_mode)
    found = {path.relative_to(tmp_path).as_posix(): readable for path, readable in with_reach(tmp_path, True)}
    assert found == {
        "open": True,
        "open/file": True,
        "shut": False,
        "shut/file": False,
        "own": True,
        "own/file": False,
    }


@pytest.mark.parametrize("name", [*JOBS, *(f"{job} killed" for job in KILLED)])
def test_no_temporary_file_can_be_read_by_others(watched, name):
    job = watched[name]
    assert job.readable == set()
    assert job.had_spark is (name not in WITHOUT_SPARK), "the test sees no temporary files at all"


@pytest.mark.parametrize("name", JOBS)
def test_no_job_leaves_a_temporary_file_behind(watched, name):
    job = watched[name]
    assert {path for path, _ in with_reach(job.folder, True)} == job.given


@pytest.mark.parametrize("name", JOBS)
def test_no_job_listens_on_anything_but_loopback(watched, name):
    job = watched[name]
    assert [address for address in job.listening if not is_loopback(address)] == []
    assert bool(job.listening) is (name not in WITHOUT_SPARK), "the test sees no sockets at all"
    assert len(job.ranks) == {"train": 1, "train_2": 2}.get(name, 0)
