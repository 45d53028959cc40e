"""Ranks of a training that a test starts without Spark and without the program's own launcher.

To import torch costs a process several seconds, which is most of what a training of a few small images takes. So
`start_ranks` forks its ranks from a process that has imported it already (the fork server of `multiprocessing`), and
gives them the variables that torchrun would give. `start_by_torchrun` starts each rank as a process from nothing.
"""

from __future__ import annotations

import multiprocessing
import os
import socket
import subprocess
import sys
from importlib import import_module
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

#: What the fork server imports once, for all ranks of this test process. torch's optimisers import its compiler.
PRELOADED = ("cxr_spark.training.rank.task", "tests.support.tiny_training", "torch._dynamo")


class Ranks:
    """The ranks of a training, in a process group of their own, with the calls of a `Popen`.

    Args:
        launcher: the process that waits for them, the first of the group.

    Attributes:
        pid: number of the launcher, and of the process group.
    """

    def __init__(self, launcher: BaseProcess) -> None:
        self._launcher = launcher
        assert launcher.pid is not None
        self.pid = launcher.pid

    def poll(self) -> int | None:
        """Returns the exit status; None while the ranks run."""
        return self._launcher.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Waits for the ranks' end and returns the exit status: 0 where all of them ended well."""
        self._launcher.join(timeout)
        status = self._launcher.exitcode
        if status is None:
            raise TimeoutError(f"the ranks did not end in {timeout} s")
        return status


def start_ranks(module: str, out: Path, workers: int) -> Ranks:
    """Starts ranks in a process group of their own, which a test can kill as a whole.

    Args:
        module: whose `main` each rank calls, with the name of the training's file as its only argument.
        out: the folder of the run; `job.json` in it holds the training, and `ranks.log` takes what the ranks say.
        workers: the number of ranks.
    """
    server: Any = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(list(PRELOADED))
    launcher = server.Process(target=_launch, args=(module, str(out), workers))
    launcher.start()
    return Ranks(launcher)


def start_by_torchrun(module: str, out: Path, workers: int) -> subprocess.Popen[bytes]:
    """Starts the same ranks as `start_ranks` does, by torchrun."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={workers}"]
    with (out / "ranks.log").open("a") as log:
        return subprocess.Popen(
            [*launcher, "-m", module, str(out / "job.json")], start_new_session=True, stdout=log, stderr=log
        )


def _launch(module: str, out: str, workers: int) -> None:
    """Forks the ranks and waits for them; when one fails, the others are ended, as by torchrun."""
    os.setsid()
    log = os.open(Path(out, "ranks.log"), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    for stream in (1, 2):
        os.dup2(log, stream)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), WORLD_SIZE=str(workers))
    fork = multiprocessing.get_context("fork")
    ranks = [fork.Process(target=_rank, args=(module, out, rank)) for rank in range(workers)]
    for rank in ranks:
        rank.start()
    running = {rank.sentinel: rank for rank in ranks}
    while running:
        for sentinel in wait(list(running)):
            ended = running.pop(sentinel)  # type: ignore[call-overload]
            ended.join()
            if ended.exitcode != 0:
                for other in running.values():
                    other.kill()
                sys.exit(1)


def _rank(module: str, out: str, rank: int) -> None:
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank))
    import_module(module).main([str(Path(out, "job.json"))])
