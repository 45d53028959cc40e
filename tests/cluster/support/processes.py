"""Server processes of the tests: started, waited for, and ended by their own process numbers."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

#: Seconds until a server must answer; the machine may be busy.
START_TIMEOUT = 120.0


class Server:
    """A process in a session of its own, its output in a file.

    Args:
        name: for messages.
        command: what to run.
        log: file of its output.
        environment: all of its environment variables.
    """

    def __init__(self, name: str, command: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
        self.name = name
        self.log = log
        self._command, self._environment = list(command), dict(environment)
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                self._command, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                env=self._environment, start_new_session=True,
            )  # fmt: skip

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def wait_until(self, ready: Callable[[], object], what: str) -> None:
        """Waits for a sign that the server works; what it last said is in the error."""

        def check() -> object:
            assert self._process is not None
            if self._process.poll() is not None:
                raise RuntimeError(f"{self.name} ended:\n{self.tail()}")
            return ready()

        try:
            wait_for(check, what, START_TIMEOUT)
        except TimeoutError as error:
            raise TimeoutError(f"{self.name}: {error}\n{self.tail()}") from None

    def tail(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-25:])

    def kill(self) -> None:
        """Ends the process and all of its session at once, as a lost machine would."""
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_for(check: Callable[[], object], what: str, timeout: float) -> object:
    """Waits until a check gives something true, and returns that."""
    deadline = time.monotonic() + timeout
    while True:
        found = check()
        if found:
            return found
        if time.monotonic() > deadline:
            raise TimeoutError(f"no {what} in {timeout:.0f} s")
        time.sleep(0.2)


def answers(address: str, port: int) -> bool:
    """Whether something listens there."""
    try:
        socket.create_connection((address, port), 1).close()
    except OSError:
        return False
    return True


def free_port(address: str) -> int:
    """Returns a port of an address of this machine that nothing uses now."""
    with socket.socket() as found:
        found.bind((address, 0))
        return int(found.getsockname()[1])
