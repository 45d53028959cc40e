"""Runs a command of the package, and looks at its files and sockets again and again while it runs."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil

#: Seconds between two looks at the files; sockets are looked at every few times, since that takes longer.
LOOK_EVERY = 0.05
LOOKS_A_SOCKET = 6
#: Seconds that a killed job's other processes may take to see that it is gone.
PATIENCE = 30.0


class WatchedJob:
    """A job whose temporary files all lie in one folder.

    Args:
        folder: a new folder for them, and the working directory.
        arguments: those of the command.

    Attributes:
        given: the folders that the job finds there.
        seen: all other paths that were seen in the folder.
        readable: those of them that another user could have read or listed.
        listening: the addresses that any process of the job listened on.
        ranks: the process ids of training ranks.
    """

    def __init__(self, folder: Path, arguments: Sequence[object]) -> None:
        self.folder = folder
        self.given = {folder / "tmp", folder / "spark"}
        for given in (folder, *self.given):
            given.mkdir(mode=0o755)
        self.seen: set[str] = set()
        self.readable: set[str] = set()
        self.listening: set[str] = set()
        self.ranks: set[int] = set()
        line = ["cxr_spark.commands.main", *map(str, arguments), "--spark", f"spark.local.dir={folder}/spark"]
        self._process = subprocess.Popen(
            [sys.executable, "-m", *line],
            env={**{k: v for k, v in os.environ.items() if k != "SPARK_LOCAL_DIRS"}, "TMPDIR": f"{folder}/tmp"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            cwd=folder,
            umask=0o022,
            start_new_session=True,
        )
        self._looks = 0

    def to_the_end(self) -> None:
        """Watches until the job has ended, which must be well."""
        while self._process.poll() is None:
            self._look()
        assert self._process.stderr is not None
        assert self._process.returncode == 0, self._process.stderr.read()[-2000:]
        self._look_at_files()

    def kill_while_spark_works(self) -> None:
        """Watches until Spark has made its folders, kills every process of the job, and looks once more."""
        while self._process.poll() is None and not self.had_spark:
            self._look()
        os.killpg(self._process.pid, signal.SIGKILL)
        assert self._process.wait() == -signal.SIGKILL
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and not self._group_is_gone():
            time.sleep(LOOK_EVERY)
        self._look_at_files()

    @property
    def had_spark(self) -> bool:
        """Whether Spark was seen to make its folders."""
        return any("/blockmgr-" in name for name in self.seen)

    def _look(self) -> None:
        self._look_at_files()
        if self._looks % LOOKS_A_SOCKET == 0:
            self._look_at_sockets()
        self._looks += 1
        time.sleep(LOOK_EVERY)

    def _look_at_files(self) -> None:
        for path, readable in with_reach(self.folder, True):
            if path not in self.given:
                self.seen.add(str(path))
                if readable:
                    self.readable.add(str(path))

    def _look_at_sockets(self) -> None:
        with contextlib.suppress(psutil.Error):
            parent = psutil.Process(self._process.pid)
            for process in [parent, *parent.children(recursive=True)]:
                with contextlib.suppress(psutil.Error):
                    for connection in process.net_connections("inet"):
                        if connection.status == psutil.CONN_LISTEN or (connection.type == 2 and not connection.raddr):
                            self.listening.add(connection.laddr.ip)
                    if "cxr_spark.training.rank.task" in process.cmdline():
                        self.ranks.add(process.pid)

    def _group_is_gone(self) -> bool:
        try:
            os.killpg(self._process.pid, 0)
        except ProcessLookupError:
            return True
        return False


def with_reach(folder: Path, open_to_others: bool) -> Iterator[tuple[Path, bool]]:
    """Yields all below a folder, and whether the modes of it and of all above it let another user read or list it."""
    with contextlib.suppress(OSError):  # deleted meanwhile
        for entry in os.scandir(folder):
            with contextlib.suppress(OSError):
                mode = entry.stat(follow_symlinks=False).st_mode
                yield Path(entry.path), open_to_others and bool(mode & stat.S_IROTH)
                if stat.S_ISDIR(mode):
                    yield from with_reach(Path(entry.path), open_to_others and bool(mode & stat.S_IXOTH))


def is_loopback(address: str) -> bool:
    """Whether an address is of the loopback interface; Java writes those of IPv4 as IPv6 ones."""
    parsed = ipaddress.ip_address(address)
    return (getattr(parsed, "ipv4_mapped", None) or parsed).is_loopback
