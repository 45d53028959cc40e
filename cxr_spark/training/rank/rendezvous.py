"""The rendezvous of the ranks: a small table of names and values by which torch's process groups find each other.

torch's own TCPStore listens on every interface and asks for no password, and torchrun unpickles what stands in it.
This store listens on one address and serves holders of the training's key only (see `channel`). torch writes bytes and
counters to it, and reads them as such.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from torch.distributed import Store  # type: ignore[attr-defined]

from cxr_spark.training.rank.channel import Channel, ChannelServer, connect

#: Seconds between two looks for a value that is not there yet.
_LOOK_EVERY = 0.02


@dataclass(frozen=True)
class Rendezvous:
    """The place where the ranks of a training find each other.

    Attributes:
        host: address of the server.
        port: port of the server.
        key: the key of the training.
    """

    host: str
    port: int
    key: str


class RendezvousServer:
    """Keeps the table. The launcher of rank 0 runs it, on the address that all ranks can reach.

    Args:
        host: the address to listen on.
        key: the key of the training.
    """

    def __init__(self, host: str, key: str) -> None:
        self._values: dict[str, str] = {}
        self._lock = threading.Lock()
        self._server = ChannelServer(host, key, self._serve)
        self.rendezvous = Rendezvous(host, self._server.port, key)

    def close(self) -> None:
        """Stops to listen."""
        self._server.close()

    def _serve(self, channel: Channel) -> None:
        while True:
            request = channel.receive()
            with self._lock:
                reply = self._answer(**request)
            channel.send({"value": reply})

    def _answer(self, action: str, keys: Sequence[str], value: str = "", expected: str = "", amount: int = 0) -> Any:
        """Does one action on the table; values are hexadecimal digits of bytes."""
        values, key = self._values, keys[0] if keys else ""
        if action == "set":
            values[key] = value
        elif action == "get":
            return values.get(key)
        elif action == "add":
            total = int(bytes.fromhex(values.get(key, b"0".hex()))) + amount
            values[key] = str(total).encode().hex()
            return total
        elif action == "check":
            return all(each in values for each in keys)
        elif action == "delete":
            return values.pop(key, None) is not None
        elif action == "compare_set":
            if values.get(key, "") == expected:
                values[key] = value
            return values.get(key, expected)
        elif action == "count":
            return len(values)
        return None


class RendezvousStore(Store):  # type: ignore[misc]
    """A rank's own connection to the server, through which torch's process groups use the table.

    torch calls the methods by the names and with the arguments of `torch.distributed.Store`, from several threads.
    Whoever hands the store to torch must keep a reference to it: torch's C++ does not.

    Args:
        rendezvous: the address of the server.
        timeout: seconds to wait for a value that another rank has still to set.

    Raises:
        ChannelError: the server is not there, or has another key.
    """

    def __init__(self, rendezvous: Rendezvous, timeout: float) -> None:
        super().__init__()
        self._timeout = timedelta(seconds=timeout)
        self._lock = threading.Lock()
        self._channel = connect(rendezvous.host, rendezvous.port, rendezvous.key, timeout)

    def set(self, key: str, value: str | bytes) -> None:
        """Sets a value."""
        self._ask("set", [key], value=_bytes(value).hex())

    def get(self, key: str) -> bytes:
        """Returns a value, waiting for it where it is not there yet."""
        self.wait([key])
        return bytes.fromhex(self._ask("get", [key]))

    def add(self, key: str, amount: int) -> int:
        """Adds to a counter and returns its new value."""
        return int(self._ask("add", [key], amount=amount))

    def check(self, keys: list[str]) -> bool:
        """Returns whether all values are there."""
        return bool(self._ask("check", keys))

    def wait(self, keys: list[str], timeout: timedelta | None = None) -> None:
        """Waits until all values are there.

        Raises:
            RuntimeError: they are not, after the timeout; torch expects this class.
        """
        limit = timeout or self._timeout
        deadline = time.monotonic() + limit.total_seconds()
        while not self.check(keys):
            if time.monotonic() > deadline:
                raise RuntimeError(f"the other ranks did not come in {limit.total_seconds():.0f} s")
            time.sleep(_LOOK_EVERY)

    def compare_set(self, key: str, expected: str | bytes, desired: str | bytes) -> bytes:
        """Sets a value if it is as expected, and returns what is there afterwards."""
        found = self._ask("compare_set", [key], expected=_bytes(expected).hex(), value=_bytes(desired).hex())
        return bytes.fromhex(found)

    def deleteKey(self, key: str) -> bool:
        """Deletes a value; torch calls this method by its name in C++."""
        return bool(self._ask("delete", [key]))

    def getNumKeys(self) -> int:
        """Returns the number of values; torch calls this method by its name in C++."""
        return int(self._ask("count", []))

    def clone(self) -> RendezvousStore:
        """Returns this store: it may be used from several threads."""
        return self

    def set_timeout(self, timeout: timedelta) -> None:
        """Sets how long to wait for a value."""
        self._timeout = timeout

    def close(self) -> None:
        """Closes the connection."""
        self._channel.close()

    def _ask(self, action: str, keys: list[str], **more: Any) -> Any:
        with self._lock:
            self._channel.send({"action": action, "keys": keys, **more})
            return self._channel.receive()["value"]


def _bytes(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else bytes(value)
