"""Sends what a rank prints from a barrier task to the driver."""

from __future__ import annotations

import sys
from types import TracebackType

from cxr_spark.training.rank.channel import ChannelError, connect

#: Characters of a line at most.
_LONGEST = 20_000
#: Seconds in which the driver must answer.
_CONNECT_TIMEOUT = 10.0


class LineSender:
    """Sends lines to the driver, and prints them into the log of the executor.

    A driver that cannot be reached is no reason to stop a training: the lines then stand in the executor's log only,
    and a line there says why.

    Args:
        host: address of the driver.
        port: port of the driver; None where the driver takes no lines.
        key: the key of the training.
    """

    def __init__(self, host: str, port: int | None, key: str) -> None:
        self._channel = None
        if port is None:
            return
        try:
            self._channel = connect(host, port, key, _CONNECT_TIMEOUT)
        except ChannelError as error:
            self._print(f"the driver's log does not get the lines of this rank: {error}")

    def __enter__(self) -> LineSender:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._channel is not None:
            self._channel.close()

    def send(self, line: str) -> None:
        """Sends and prints a line; called from one thread."""
        line = line[:_LONGEST]
        self._print(line)
        if self._channel is not None:
            try:
                self._channel.send({"line": line})
            except ChannelError as error:
                self._channel = None
                self._print(f"the driver's log gets no more lines of this rank: {error}")

    def _print(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)
