"""Connections between the driver and the ranks of one training, which only a holder of the training's key can open.

The driver draws a key for every start of the ranks and hands it to them by Spark's own channel (or, on its own host, by
a pipe). Every frame carries an HMAC-SHA256 tag of its content, its direction and its number in the connection, made
with a key that both sides derive from the training's key and from one random number of each side. A frame with a wrong
tag ends the connection before anything in it is read. So a stranger can neither speak nor replay, but could listen:
nothing secret is sent here. The content of a frame is JSON; nothing is ever unpickled.
"""

from __future__ import annotations

import contextlib
import hmac
import json
import logging
import secrets
import socket
import struct
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any

from cxr_spark.errors import RunError

log = logging.getLogger(__name__)

#: Bytes of the random numbers and of a training's key.
KEY_BYTES = 32
#: Bytes of a frame at most: what is sent are addresses, counters and lines of a log.
MAX_FRAME = 1 << 20
#: Seconds in which a peer must show that it holds the key.
HANDSHAKE_TIMEOUT = 10.0
_TAG_BYTES = 32
_LENGTH = struct.Struct(">I")
_COUNTER = struct.Struct(">Q")


class ChannelError(RunError):
    """The peer does not hold the key, does not keep to the protocol, or is gone."""


def new_key() -> str:
    """Draws the key of one start of the ranks: hexadecimal digits."""
    return secrets.token_hex(KEY_BYTES)


class Channel:
    """One connection. Not safe for use by several threads at the same time.

    Args:
        connection: a connected socket, which the channel owns from now on.
        key: the key of the training, hexadecimal digits.
        is_server: whether this side accepted the connection.

    Raises:
        ChannelError: the peer does not hold the key.
    """

    def __init__(self, connection: socket.socket, key: str, *, is_server: bool) -> None:
        self._socket = connection
        self._sent = self._received = 0
        connection.settimeout(HANDSHAKE_TIMEOUT)
        try:
            ours = secrets.token_bytes(KEY_BYTES)
            connection.sendall(ours)
            theirs = self._exactly(KEY_BYTES)
            server, client = (ours, theirs) if is_server else (theirs, ours)
            of_server = hmac.digest(bytes.fromhex(key), b"server" + server + client, "sha256")
            of_client = hmac.digest(bytes.fromhex(key), b"client" + server + client, "sha256")
            self._key_out, self._key_in = (of_server, of_client) if is_server else (of_client, of_server)
            self.send({})  # the proof that this side holds the key, which the other side waits for
            self.receive()
            connection.settimeout(None)
        except BaseException:
            connection.close()
            raise

    def send(self, message: dict[str, Any]) -> None:
        """Sends a message of JSON values.

        Raises:
            ChannelError: the peer is gone.
        """
        content = json.dumps(message).encode()
        tag = hmac.digest(self._key_out, _COUNTER.pack(self._sent) + content, "sha256")
        self._sent += 1
        try:
            self._socket.sendall(_LENGTH.pack(len(content)) + tag + content)
        except OSError as error:
            raise ChannelError(f"the connection to the training's other processes broke: {error}") from None

    def receive(self) -> dict[str, Any]:
        """Waits for a message.

        Raises:
            ChannelError: the peer is gone, or what came was not sent by a holder of the key.
        """
        (length,) = _LENGTH.unpack(self._exactly(_LENGTH.size))
        if length > MAX_FRAME:
            raise ChannelError(f"a peer announced a message of {length} bytes, more than {MAX_FRAME}: it is no rank")
        tag, content = self._exactly(_TAG_BYTES), self._exactly(length)
        expected = hmac.digest(self._key_in, _COUNTER.pack(self._received) + content, "sha256")
        self._received += 1
        if not hmac.compare_digest(tag, expected):
            raise ChannelError("a peer does not hold the key of this training: it was refused")
        message: dict[str, Any] = json.loads(content)
        return message

    def _exactly(self, count: int) -> bytes:
        parts = bytearray()
        while len(parts) < count:
            try:
                part = self._socket.recv(count - len(parts))
            except OSError as error:
                raise ChannelError(f"the connection to the training's other processes broke: {error}") from None
            if not part:
                raise ChannelError("the connection to the training's other processes was closed")
            parts += part
        return bytes(parts)

    def close(self) -> None:
        """Closes the connection."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


def connect(host: str, port: int, key: str, timeout: float) -> Channel:
    """Opens a channel to a server.

    Args:
        host: address of the server.
        port: port of the server.
        key: the key of the training.
        timeout: seconds in which the connection must open.

    Raises:
        ChannelError: nobody answers there, or whoever does has another key.
    """
    try:
        connection = socket.create_connection((host, port), timeout)
    except OSError as error:
        raise ChannelError(f"cannot connect to {host}:{port}: {error.strerror or error}") from None
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return Channel(connection, key, is_server=False)


class ChannelServer:
    """Listens on one address only, and serves every peer that holds the key in a thread of its own.

    Args:
        host: the address to listen on.
        key: the key of the training.
        serve: called with every channel; it returns when it is done with the channel, and ends by ChannelError when
            the peer goes.

    Attributes:
        host: the address.
        port: the port that the system chose.
    """

    def __init__(self, host: str, key: str, serve: Callable[[Channel], None]) -> None:
        self._key, self._serve = key, serve
        self._listener = socket.create_server((host, 0), backlog=1024)
        self.host, self.port = host, int(self._listener.getsockname()[1])
        self._open: set[Channel] = set()
        self._lock = threading.Lock()
        self._closed = False
        threading.Thread(target=self._accept, name="channel-server", daemon=True).start()

    def __enter__(self) -> ChannelServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stops to listen, and closes all channels."""
        with self._lock:
            self._closed = True
        with contextlib.suppress(OSError):  # wakes the thread that accepts
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            channels = list(self._open)
        for channel in channels:
            channel.close()

    def _accept(self) -> None:
        while not self._closed:
            try:
                connection, peer = self._listener.accept()
            except OSError:  # closed; or no file handles left for a moment
                if not self._closed:
                    threading.Event().wait(0.1)
                continue
            threading.Thread(target=self._attend, args=(connection, peer), name="channel", daemon=True).start()

    def _attend(self, connection: socket.socket, peer: tuple[str, int]) -> None:
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            channel = Channel(connection, self._key, is_server=True)
        except (ChannelError, OSError) as error:
            if not self._closed:
                log.warning("refused a connection from %s to port %d: %s", peer[0], self.port, error)
            return
        with self._lock:
            self._open.add(channel)
            closed = self._closed  # in the meantime: then nobody else closes this channel
        try:
            if not closed:
                self._serve(channel)
        except ChannelError:  # the peer is gone
            pass
        finally:
            with self._lock:
                self._open.discard(channel)
            channel.close()
