"""Hosts for the workers: network namespaces with addresses of their own, so that nothing works by 127.0.0.1 alone."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Host:
    """Where servers run.

    Attributes:
        name: of the host.
        address: its only address, beside 127.0.0.1 of its own.
        names: file of all hosts' names and addresses.
        isolated: whether it is a network namespace of its own.
    """

    name: str
    address: str
    names: Path
    isolated: bool = True

    def command(self, *arguments: str) -> list[str]:
        """Returns a command line that runs another one on this host, under the host's name."""
        # No name server is in reach: without this every name that is not in the file costs a time-out.
        set_up = 'mount --bind "$1" /etc/hosts; mount --bind /dev/null /etc/resolv.conf; hostname "$0"; shift'
        shell = ["unshare", "--uts", "--mount", "sh", "-ec", f'{set_up}; exec "$@"', self.name, str(self.names)]
        return [*(["ip", "netns", "exec", self.name] if self.isolated else []), *shell, *arguments]

    @contextlib.contextmanager
    def cut_off(self) -> Iterator[None]:
        """Takes the host's cable out."""
        _ip("-n", self.name, "link", "set", "eth0", "down")
        try:
            yield
        finally:
            _ip("-n", self.name, "link", "set", "eth0", "up")

    @contextlib.contextmanager
    def refusing(self, other: Host, but: int) -> Iterator[None]:
        """Lets a firewall refuse what another host wants to open to this one, on all ports but one."""
        rule = ["-s", other.address, "-p", "tcp", "--syn", "!", "--dport", str(but), "-j", "REJECT"]
        firewall = ["ip", "netns", "exec", self.name, "iptables"]
        subprocess.run([*firewall, "-I", "INPUT", *rule], check=True, capture_output=True)
        try:
            yield
        finally:
            subprocess.run([*firewall, "-D", "INPUT", *rule], check=True, capture_output=True)

    def processes(self) -> list[int]:
        """Returns the numbers of the processes on an isolated host."""
        return [int(pid) for pid in _ip("netns", "pids", self.name).split()]


@dataclass(frozen=True)
class Network:
    """Who is where.

    Attributes:
        head: this machine: where masters and drivers run.
        hosts: the workers' hosts.
    """

    head: Host
    hosts: tuple[Host, ...]

    @property
    def driver(self) -> str:
        """Address of the head."""
        return self.head.address


@contextlib.contextmanager
def make_network(count: int, folder: Path) -> Iterator[Network]:
    """Makes hosts, and removes them with all processes on them. The tests are skipped, visibly, where that cannot be.

    Args:
        count: of hosts.
        folder: for their file of names.
    """
    if os.geteuid() != 0 or not all(map(shutil.which, ("ip", "unshare"))):
        pytest.skip("hosts of their own need network namespaces: root, and the commands ip and unshare")
    bridge, made = f"cxr{os.getpid()}", []
    prefix = _free_prefix()
    try:
        _ip("link", "add", bridge, "type", "bridge")
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no network can be made here: {error.stderr.strip()}")
    names = folder / "hosts"
    head = Host(f"{bridge}-head", f"{prefix}.1", names, isolated=False)
    hosts = [Host(f"{bridge}-{i}", f"{prefix}.{11 + i}", names) for i in range(count)]
    lines = [f"{host.address} {host.name}\n" for host in (head, *hosts)]
    names.write_text("".join(["127.0.0.1 localhost\n", *lines]))
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
        yield Network(head, tuple(made))
    finally:
        for host in made:
            for pid in host.processes():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            _ip("netns", "del", host.name)
        _ip("link", "del", bridge)


def _free_prefix() -> str:
    used = _ip("-4", "-o", "addr", "show")
    return next(f"10.77.{i}" for i in range(256) if f"10.77.{i}." not in used)


def _ip(*arguments: str) -> str:
    return subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True).stdout
