"""Ranks as child processes: what they are told, how their ends are told, and that they end with their launcher."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time

import psutil
import pytest

from cxr_spark.errors import RunError
from cxr_spark.training.rank import process as module
from cxr_spark.training.rank.process import RankProcess, RankStart
from cxr_spark.training.rank.rendezvous import Rendezvous

START = RankStart("{}", 1, 2, 1, Rendezvous("127.0.0.1", 5, "ab"))
WAIT_FOR_START = (
    "import sys, time; from cxr_spark.training.rank.process import read_start\nread_start(sys.stdin.buffer)\n"
)


@pytest.fixture
def rank(tmp_path, monkeypatch):
    """Makes ranks whose program is given, with all the lines that they said."""
    monkeypatch.setattr(module, "MODULE", "fake_rank")

    def make(program: str) -> tuple[RankProcess, list[str]]:
        (tmp_path / "fake_rank.py").write_text(textwrap.dedent(program))
        said: list[str] = []
        paths = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
        return RankProcess(START, START.environment(os.environ | {"PYTHONPATH": paths}, 3), said.append), said

    return make


def finished(process: RankProcess) -> bool:
    process.wait(60)
    return process.ended()


def test_a_rank_is_told_all_by_its_standard_input(rank):
    process, said = rank("""
        import os, sys
        from cxr_spark.training.rank.process import read_start
        print(read_start(sys.stdin.buffer))
        print([os.environ[n] for n in ("RANK", "WORLD_SIZE", "LOCAL_RANK")], sys.argv[1:])
        """)
    assert finished(process)
    assert said == [str(START), "['1', '2', '1'] []"]


def test_the_key_is_in_no_command_line_and_no_environment(rank):
    process, _ = rank(WAIT_FOR_START + "time.sleep(60)")
    with process:
        found = psutil.Process(process._process.pid)
        assert "127.0.0.1" not in " ".join(found.cmdline())
        assert "ab" not in found.environ().values()


def test_a_failure_quotes_the_last_lines(rank):
    process, _ = rank("print('first'); print('second'); raise SystemExit('why it failed')")
    with pytest.raises(RunError, match="rank 1 of 2 ended with exit status 1: first; second; why it failed"):
        finished(process)


def test_a_killed_rank_is_told(rank):
    process, _ = rank(WAIT_FOR_START + "time.sleep(60)")
    os.kill(process._process.pid, signal.SIGKILL)
    with pytest.raises(RunError, match=r"was killed by signal 9 \(SIGKILL\)"):
        finished(process)


def test_stop_ends_a_rank_that_takes_no_notice(rank, monkeypatch):
    monkeypatch.setattr(module, "_GRACE", 0.5)
    process, said = rank(
        "import signal, time\nsignal.signal(15, signal.SIG_IGN)\nprint('on', flush=True)\ntime.sleep(60)"
    )
    while not said:
        time.sleep(0.05)
    process.stop()
    assert not psutil.pid_exists(process._process.pid)


def test_a_rank_ends_when_its_launcher_is_killed(tmp_path):
    (tmp_path / "fake_rank.py").write_text(WAIT_FOR_START + "time.sleep(100)")
    launcher = textwrap.dedent("""
        import os, time
        from cxr_spark.training.rank import process
        process.MODULE = "fake_rank"
        start = process.RankStart("{}", 0, 1, 0, None)
        print(process.RankProcess(start, os.environ, print)._process.pid, flush=True)
        time.sleep(100)
        """)
    paths = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    running = subprocess.Popen(
        [sys.executable, "-c", launcher], stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": paths}
    )
    rank = psutil.Process(int(running.stdout.readline()))
    running.kill()
    running.wait()
    rank.wait(30)
