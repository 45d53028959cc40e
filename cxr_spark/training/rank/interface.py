"""Finds the network interface by which this host reaches another one."""

from __future__ import annotations

import socket

import psutil


def interface_towards(address: str) -> str | None:
    """Returns the name of the network interface by which this host reaches an address; None if it cannot be found.

    Nothing is sent: connecting a UDP socket only chooses the route.
    """
    try:
        family, _, _, _, target = socket.getaddrinfo(address, 9, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect(target)
            own = probe.getsockname()[0]
    except OSError:
        return None
    for name, addresses in psutil.net_if_addrs().items():
        if any(each.address.partition("%")[0] == own for each in addresses):
            return str(name)
    return None
