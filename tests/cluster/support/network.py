"""Hosts for the workers: network namespaces with addresses of their own, so that nothing works by 127.0.0.1 alone.

Where namespaces cannot be made (no root), the hosts are other addresses of the loopback interface: servers are apart
still, but a rank that binds to the wrong interface would not be noticed, and no host can be cut off.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Host:
    """Where a worker runs.

    Attributes:
        name: of the host.
        address: its only address, beside 127.0.0.1 of its own.
        names: file of all hosts' names and addresses; None where this is no namespace of its own.
    """

    name: str
    address: str
    names: Path | None = None

    @property
    def isolated(self) -> bool:
        """Whether the host is a network namespace."""
        return self.names is not None

    def command(self, *arguments: str) -> list[str]:
        """Returns a command line that runs another one on this host, under the host's name."""
        if not self.isolated:
            return list(arguments)
        set_up = 'hostname "$0" && mount --bind "$1" /etc/hosts && shift && exec "$@"'
        shell = ["sh", "-c", set_up, self.name, str(self.names)]
        return ["ip", "netns", "exec", self.name, "unshare", "--uts", "--mount", *shell, *arguments]

    def cut_off(self) -> None:
        """Takes the host's cable out."""
        _ip("-n", self.name, "link", "set", "eth0", "down")

    def reconnect(self) -> None:
        _ip("-n", self.name, "link", "set", "eth0", "up")

    def processes(self) -> list[int]:
        """Returns the numbers of the processes on an isolated host."""
        return [int(pid) for pid in _ip("netns", "pids", self.name).split()]


@dataclass(frozen=True)
class Network:
    """Attributes:
    driver: address of this machine among the hosts.
    hosts: the workers' hosts.
    """

    driver: str
    hosts: tuple[Host, ...]

    @property
    def isolated(self) -> bool:
        return self.hosts[0].isolated


@contextlib.contextmanager
def make_network(count: int, folder: Path) -> Iterator[Network]:
    """Makes hosts, and removes them with all processes on them.

    Args:
        count: of hosts.
        folder: for their file of names.
    """
    if os.geteuid() != 0 or not all(map(shutil.which, ("ip", "unshare"))):
        yield _loopback(count)
        return
    bridge, made = f"cxr{os.getpid()}", []
    prefix = _free_prefix()
    try:
        _ip("link", "add", bridge, "type", "bridge")
    except subprocess.CalledProcessError:
        yield _loopback(count)
        return
    hosts = [Host(f"{bridge}-{i}", f"{prefix}.{11 + i}", folder / "hosts") for i in range(count)]
    lines = ["127.0.0.1 localhost", f"{prefix}.1 {socket.gethostname()}", *(f"{h.address} {h.name}" for h in hosts)]
    (folder / "hosts").write_text("\n".join([*lines, ""]))
    try:
        _ip("addr", "add", f"{prefix}.1/24", "dev", bridge)
        _ip("link", "set", bridge, "up")
        for i, host in enumerate(hosts):
            _ip("netns", "add", host.name)
            made.append(host)
            outer = f"{bridge}v{i}"
            _ip("link", "add", outer, "type", "veth", "peer", "name", "eth0", "netns", host.name)
            _ip("link", "set", outer, "master", bridge, "up")
            _ip("-n", host.name, "addr", "add", f"{host.address}/24", "dev", "eth0")
            for interface in ("lo", "eth0"):
                _ip("-n", host.name, "link", "set", interface, "up")
        yield Network(f"{prefix}.1", tuple(made))
    finally:
        for host in made:
            for pid in host.processes():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            _ip("netns", "del", host.name)
        _ip("link", "del", bridge)


def _loopback(count: int) -> Network:
    return Network("127.0.0.1", tuple(Host(f"host-{i}", f"127.0.0.{11 + i}") for i in range(count)))


def _free_prefix() -> str:
    used = _ip("-4", "-o", "addr", "show")
    return next(f"10.77.{i}" for i in range(256) if f"10.77.{i}." not in used)


def _ip(*arguments: str) -> str:
    return subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True).stdout
