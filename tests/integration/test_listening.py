"""In local mode no process of a job listens on anything but the loopback address, and nothing is left behind."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import subprocess
import sys
import threading
import time

import psutil
import pytest

from tests.support.prepared_sets import write_prepared

#: A training small enough to take seconds.
SMALL = ("model.architecture=efficientnet_b0", "model.input_size=32", "train.epochs=1", "train.global_batch=12")
#: Seconds between two looks at the sockets.
LOOK_EVERY = 0.3


class Watched:
    """A command with all addresses that it and its children were seen to listen on."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self.listening: set[str] = set()
        self.ranks: set[int] = set()
        self._process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        watcher = threading.Thread(target=self._watch)
        watcher.start()
        self.output = self._process.communicate(timeout=300)[0]
        watcher.join()
        self.status = self._process.returncode

    def _watch(self) -> None:
        parent = psutil.Process(self._process.pid)
        while self._process.poll() is None:
            with contextlib.suppress(psutil.Error):
                for process in [parent, *parent.children(recursive=True)]:
                    with contextlib.suppress(psutil.Error):
                        self._look(process)
            time.sleep(LOOK_EVERY)

    def _look(self, process: psutil.Process) -> None:
        for connection in process.net_connections("inet"):
            if connection.status == psutil.CONN_LISTEN or (connection.type == 2 and not connection.raddr):
                self.listening.add(connection.laddr.ip)
        if "cxr_spark.training.rank.task" in process.cmdline():
            self.ranks.add(process.pid)


def is_loopback(address: str) -> bool:
    """Whether an address is of the loopback interface; Java writes those of IPv4 as IPv6 ones."""
    parsed = ipaddress.ip_address(address)
    return (getattr(parsed, "ipv4_mapped", None) or parsed).is_loopback


@pytest.fixture
def watch(tmp_path):
    """Runs a command of the package with a temporary folder of its own, and looks at its sockets."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()

    def run(*arguments: object) -> Watched:
        command = [sys.executable, "-m", "cxr_spark.commands.main", *map(str, arguments)]
        done = Watched(command, {**os.environ, "TMPDIR": str(temporary)})
        assert done.status == 0, done.output[-3000:]
        assert [address for address in done.listening if not is_loopback(address)] == []
        assert done.listening  # the JVM at least: the test sees sockets at all
        left = [path.name for path in temporary.iterdir() if not path.name.startswith("hsperfdata_")]  # Java's own
        assert left == []
        return done

    return run


def settings(*values: str) -> list[str]:
    return [text for value in values for text in ("--set", value)]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_local_training_listens_on_nothing_but_loopback(watch, tmp_path, workers):
    data = write_prepared(tmp_path / "data", {"train": 24, "val": 6})
    done = watch("train", "--data", data, "--out", tmp_path / "run", "--workers", workers, *settings(*SMALL))
    assert len(done.ranks) == workers


def test_the_other_jobs_listen_on_nothing_but_loopback(watch, tmp_path):
    raw, data, run = tmp_path / "raw", tmp_path / "data", tmp_path / "run"
    watch_nothing = [sys.executable, "-m", "cxr_spark.commands.main", "sample-data", "--images", "60", "--size", "64"]
    subprocess.run([*watch_nothing, "--out", str(raw)], check=True, capture_output=True)
    watch("prepare", "--images", raw / "images_*", "--labels", raw / "Data_Entry_2017.csv", "--out", data,
          "--split", "patient", "--size", 32)  # fmt: skip
    watch("train", "--data", data, "--out", run, *settings(*SMALL))
    watch("score", "--data", data, "--model", run / "model", "--out", tmp_path / "scores")
    watch("evaluate", "--predictions", tmp_path / "scores", "--out", tmp_path / "evaluation")
