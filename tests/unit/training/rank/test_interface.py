"""By which interface a rank reaches another."""

from __future__ import annotations

import subprocess

import psutil
import pytest

from cxr_spark.training.rank.interface import interface_towards


def test_loopback():
    assert interface_towards("127.0.0.1") == next(
        name for name, found in psutil.net_if_addrs().items() if any(a.address == "127.0.0.1" for a in found)
    )


def test_the_route_decides():
    """As the kernel's own tool sees it; nothing is sent to the address, which is of documentation (RFC 5737)."""
    try:
        told = subprocess.run(["ip", "-o", "route", "get", "198.51.100.7"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no `ip`, or no route to anywhere")
    words = told.stdout.split()
    assert interface_towards("198.51.100.7") == words[words.index("dev") + 1]


def test_a_name_that_does_not_resolve():
    assert interface_towards("no-such-host.invalid") is None
