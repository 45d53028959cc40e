"""What a job puts into temporary folders no other user of the machine can read, while it runs and after a kill -9."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

SMALL = ("model.architecture=efficientnet_b0", "model.input_size=32", "train.epochs=1", "train.global_batch=12")
#: Seconds between two looks at the folder.
LOOK_EVERY = 0.05
#: Seconds that a killed job's other processes may take to see that it is gone.
PATIENCE = 30.0


def with_reach(folder: Path, open_to_others: bool) -> Iterator[tuple[Path, bool]]:
    """Yields all below a folder, and whether the modes of it and of all above it let another user read or list it."""
    with contextlib.suppress(OSError):  # deleted meanwhile
        for entry in os.scandir(folder):
            with contextlib.suppress(OSError):
                mode = entry.stat(follow_symlinks=False).st_mode
                yield Path(entry.path), open_to_others and bool(mode & stat.S_IROTH)
                if stat.S_ISDIR(mode):
                    yield from with_reach(Path(entry.path), open_to_others and bool(mode & stat.S_IXOTH))


class Watched:
    """A job whose temporary files all lie in one folder, which is looked through again and again while it runs."""

    def __init__(self, folder: Path, arguments: list[str]) -> None:
        self.folder = folder
        self.given = {folder / "tmp", folder / "spark"}
        for given in (folder, *self.given):
            given.mkdir(mode=0o755)
        self.seen: set[str] = set()
        self.readable: set[str] = set()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "cxr_spark.commands.main", *arguments, "--spark", f"spark.local.dir={folder}/spark"],
            env={**{k: v for k, v in os.environ.items() if k != "SPARK_LOCAL_DIRS"}, "TMPDIR": f"{folder}/tmp"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            cwd=folder,
            umask=0o022,
            start_new_session=True,
        )

    def look(self) -> None:
        for path, readable in with_reach(self.folder, True):
            if path not in self.given:
                self.seen.add(str(path))
                if readable:
                    self.readable.add(str(path))

    def to_the_end(self) -> None:
        while self.process.poll() is None:
            self.look()
            time.sleep(LOOK_EVERY)
        assert self.process.stderr is not None
        assert self.process.returncode == 0, self.process.stderr.read()[-2000:]
        self.look()

    def kill_while_spark_works(self) -> None:
        while self.process.poll() is None and not any("/blockmgr-" in name for name in self.seen):
            self.look()
            time.sleep(LOOK_EVERY)
        os.killpg(self.process.pid, signal.SIGKILL)
        assert self.process.wait() == -signal.SIGKILL
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and not self._group_is_gone():
            time.sleep(LOOK_EVERY)
        self.look()

    def _group_is_gone(self) -> bool:
        try:
            os.killpg(self.process.pid, 0)
        except ProcessLookupError:
            return True
        return False


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from cxr_spark.sample_data.writer import write_sample_data
    from cxr_spark.storage.store import Store

    folder = tmp_path_factory.mktemp("private") / "raw"
    write_sample_data(Store(f"file://{folder}"), 60, 64, 42)
    return folder


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


def test_no_job_leaves_a_temporary_file_that_others_can_read(raw, tmp_path):
    data, run, scores = tmp_path / "data", tmp_path / "run", tmp_path / "scores"
    training = [text for value in SMALL for text in ("--set", value)]
    jobs = {
        "prepare": ["--images", f"{raw}/images_*", "--labels", f"{raw}/Data_Entry_2017.csv", "--out", f"{data}",
                    "--split", "patient", "--size", "32"],
        "train": ["--data", f"{data}", "--out", f"{run}", *training],
        "score": ["--data", f"{data}", "--model", f"{run}/model", "--out", f"{scores}"],
        "evaluate": ["--predictions", f"{scores}", "--out", f"{tmp_path}/evaluation"],
    }  # fmt: skip
    for job, options in jobs.items():
        killed = Watched(tmp_path / f"{job}_killed", [job, *options])
        killed.kill_while_spark_works()
        assert killed.readable == set(), job
        whole = Watched(tmp_path / f"{job}_whole", [job, *options])
        whole.to_the_end()
        assert whole.readable == set(), job
        assert any("/blockmgr-" in name for name in whole.seen), f"{job}: the test sees no temporary files at all"
        assert {path for path, _ in with_reach(whole.folder, True)} == whole.given, f"{job} leaves files behind"
