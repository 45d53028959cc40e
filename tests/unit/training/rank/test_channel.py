"""Connections that only a holder of the training's key can open."""

from __future__ import annotations

import contextlib
import hmac
import json
import secrets
import socket
import struct
import threading

import psutil
import pytest

from cxr_spark.training.rank import channel as module
from cxr_spark.training.rank.channel import Channel, ChannelError, ChannelServer, connect, new_key

KEY = new_key()


@pytest.fixture
def served():
    """A server that sends every message back, and all messages that it ever took."""
    taken: list[dict] = []

    def echo(channel: Channel) -> None:
        while True:
            message = channel.receive()
            taken.append(message)
            channel.send(message)

    with ChannelServer("127.0.0.1", KEY, echo) as server:
        yield server, taken


def test_holders_of_the_key_exchange_json(served):
    server, taken = served
    channels = [connect("127.0.0.1", server.port, KEY, 5) for _ in range(3)]
    for number, channel in enumerate(channels):
        for _ in range(2):
            channel.send({"number": number, "text": "ä"})
            assert channel.receive() == {"number": number, "text": "ä"}
    assert len(taken) == 6


def test_another_key_is_refused_by_both_sides(served, caplog):
    server, taken = served
    with pytest.raises(ChannelError):
        connect("127.0.0.1", server.port, new_key(), 5)
    assert connect("127.0.0.1", server.port, KEY, 5)  # and the server goes on
    assert taken == []
    assert "does not hold the key" in caplog.text


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET / HTTP/1.1\r\n\r\n" * 10,
        bytes(1000),
        b"\xff" * 1000,
        secrets.token_bytes(32) + struct.pack(">I", 2) + bytes(32) + b"{}",
        secrets.token_bytes(32) + struct.pack(">I", 1 << 31) + bytes(1000),
    ],
    ids=["nothing", "http", "zeros", "ones", "no-tag", "too-long"],
)
def test_whoever_does_not_know_the_protocol_is_refused(served, sent):
    server, taken = served
    assert len(talk(server.port, sent)) <= 32 + 4 + 32 + 2  # its random number and its empty first message
    assert taken == []


def talk(port: int, sent: bytes) -> bytes:
    """Sends bytes to a server and returns all that comes back until it hangs up."""
    received = b""
    with socket.create_connection(("127.0.0.1", port), 5) as stranger, contextlib.suppress(ConnectionError, OSError):
        stranger.settimeout(5)
        stranger.sendall(sent)
        stranger.shutdown(socket.SHUT_WR)
        while part := stranger.recv(1000):
            received += part
    return received


def test_a_silent_peer_is_given_up(served, monkeypatch):
    monkeypatch.setattr(module, "HANDSHAKE_TIMEOUT", 0.2)
    with socket.create_connection(("127.0.0.1", served[0].port), 5) as stranger:
        stranger.settimeout(5)
        assert len(stranger.recv(1000)) == 32
        while stranger.recv(1000):  # until the server hangs up
            pass


class Recorder:
    """Stands between a client and the server, and keeps what the client sends."""

    def __init__(self, port: int) -> None:
        self.sent = b""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._server = socket.create_connection(("127.0.0.1", port))
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        client, _ = self._listener.accept()
        threading.Thread(target=self._back, args=(client,), daemon=True).start()
        while part := client.recv(4096):
            self.sent += part
            self._server.sendall(part)

    def _back(self, client: socket.socket) -> None:
        while part := self._server.recv(4096):
            client.sendall(part)


def test_what_was_recorded_cannot_be_played_again(served):
    server, taken = served
    recorder = Recorder(server.port)
    channel = connect("127.0.0.1", recorder.port, KEY, 5)
    channel.send({"add": 1})
    assert channel.receive() == {"add": 1}
    talk(server.port, recorder.sent)
    assert taken == [{"add": 1}]


def test_a_message_that_was_changed_on_its_way_is_refused():
    ours, theirs = socket.socketpair()
    channels: dict[str, Channel] = {}
    thread = threading.Thread(target=lambda: channels.update(server=Channel(theirs, KEY, is_server=True)))
    thread.start()
    client = Channel(ours, KEY, is_server=False)
    thread.join()
    content = json.dumps({"add": 2}).encode()
    tag = hmac.digest(bytes.fromhex(KEY), content, "sha256")
    ours.sendall(struct.pack(">I", len(content)) + tag + content)
    with pytest.raises(ChannelError, match="does not hold the key"):
        channels["server"].receive()
    client.close()


def test_the_server_listens_on_its_address_only(served):
    listening = [c.laddr for c in psutil.Process().net_connections("tcp") if c.status == psutil.CONN_LISTEN]
    assert [address.ip for address in listening if address.port == served[0].port] == ["127.0.0.1"]


def test_a_closed_server_closes_its_channels(served):
    server, _ = served
    channel = connect("127.0.0.1", server.port, KEY, 5)
    server.close()
    with pytest.raises(ChannelError):
        channel.receive()
    with pytest.raises(ChannelError, match=r"cannot connect to 127\.0\.0\.1"):
        connect("127.0.0.1", server.port, KEY, 5)
