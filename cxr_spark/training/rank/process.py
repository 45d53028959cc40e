"""A training rank as a child process of whoever launches it: the driver in local mode, a barrier task on a cluster.

What the rank must know goes to it by a pipe, where no other user of the host can read it (a command line could be). The
pipe stays open: a rank whose launcher is gone sees its end and stops.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import IO

from cxr_spark.errors import RunError
from cxr_spark.runtime.processes import how_it_ended
from cxr_spark.runtime.threads import threads_that_sleep
from cxr_spark.training.rank.interface import interface_towards
from cxr_spark.training.rank.rendezvous import Rendezvous

MODULE = "cxr_spark.training.rank.task"
#: The exit status of a rank whose launcher is gone.
ORPHANED = 70
#: Last lines of a rank's output that the error of its death quotes.
_LAST_LINES = 3
#: Seconds that a rank has to end by itself when it is told to.
_GRACE = 5.0


@dataclass(frozen=True)
class RankStart:
    """The message that a rank gets at its start.

    Attributes:
        spec_json: the training, as JSON of a `TrainingSpec`.
        rank: number of the rank, from 0.
        world: number of ranks.
        local_rank: number of the rank on its host, from 0: it chooses among the GPUs that the rank sees.
        rendezvous: where the ranks find each other; None where there is one rank only.
    """

    spec_json: str
    rank: int
    world: int
    local_rank: int
    rendezvous: Rendezvous | None

    def environment(self, given: Mapping[str, str], threads: int) -> dict[str, str]:
        """Returns the environment of the rank's process.

        Args:
            given: the launcher's own.
            threads: CPU threads of a rank.
        """
        own = {"RANK": str(self.rank), "WORLD_SIZE": str(self.world), "LOCAL_RANK": str(self.local_rank)}
        return {"OMP_NUM_THREADS": str(threads), **threads_that_sleep(given), **given, **own}


class RankProcess:
    """A rank that runs.

    Args:
        start: the message that the rank gets at its start.
        environment: the environment of its process.
        say: called with every line that the rank prints, from a thread of its own.
    """

    def __init__(self, start: RankStart, environment: Mapping[str, str], say: Callable[[str], None]) -> None:
        self.start = start
        self._last: deque[str] = deque(maxlen=_LAST_LINES)
        self._process = subprocess.Popen(
            [sys.executable, "-m", MODULE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=dict(environment),
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._reader = threading.Thread(target=self._read, args=(self._process.stdout, say), daemon=True)
        self._reader.start()
        with contextlib.suppress(BrokenPipeError):  # it died at once; `wait` tells
            self._process.stdin.write(json.dumps(asdict(start)).encode() + b"\n")
            self._process.stdin.flush()

    def __enter__(self) -> RankProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def ended(self) -> bool:
        """Returns whether the rank is done.

        Raises:
            RunError: it failed.
        """
        status = self._process.poll()
        if status is None:
            return False
        self._reader.join(_GRACE)
        if status != 0:
            raise RunError(f"rank {self.start.rank} of {self.start.world} {how_it_ended(status)}{self._quoted()}")
        return True

    def wait(self, timeout: float | None = None) -> None:
        """Waits until the rank ends, or so many seconds."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout)

    def stop(self) -> None:
        """Ends the rank if it still runs."""
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        if self._process.poll() is None:
            self._process.terminate()
            self.wait(_GRACE)
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._reader.join(_GRACE)

    def _quoted(self) -> str:
        return f": {'; '.join(self._last)}" if self._last else ""

    def _read(self, lines: Iterable[bytes], say: Callable[[str], None]) -> None:
        for line in lines:
            text = line.decode(errors="replace").rstrip()
            if text:
                self._last.append(text.strip())
                say(text)


def read_start(stream: IO[bytes]) -> RankStart:
    """Reads, in the rank, what its launcher tells it; and ends the rank when the launcher is gone.

    Args:
        stream: the rank's standard input.
    """
    fields = json.loads(stream.readline())
    if fields["rendezvous"] is not None:
        fields["rendezvous"] = Rendezvous(**fields["rendezvous"])
    threading.Thread(target=_end_with, args=(stream,), name="launcher-watch", daemon=True).start()
    return RankStart(**fields)


def _end_with(stream: IO[bytes]) -> None:
    # By the descriptor: a buffered stream that a thread still reads cannot be closed when the interpreter ends.
    while os.read(stream.fileno(), 1024):
        pass
    os._exit(ORPHANED)


def loopback_only() -> dict[str, str]:
    """Returns the variables by which gloo and NCCL listen on the loopback interface, and on no other one."""
    name = interface_towards("127.0.0.1") or "lo"
    return {"GLOO_SOCKET_IFNAME": name, "NCCL_SOCKET_IFNAME": name}
