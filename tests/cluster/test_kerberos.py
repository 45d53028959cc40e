"""HDFS with Kerberos: a ticket or a delegation token lets in, nothing else does, and the files are the principal's."""

from __future__ import annotations

import ctypes.util
from collections.abc import Iterator

import pytest

from tests.cluster.support.hadoop import Hadoop
from tests.cluster.support.kerberos import SecureHdfs
from tests.cluster.support.network import Network

#: Writes a file and reads it, and says whose it is.
PROBE = """
import sys
from hdfs_native import Client
from cxr_spark.storage import Store
uri, name = sys.argv[1:]
store = Store(uri)
store.write_bytes(name, b"secret" * 100000)
assert store.read_bytes(name) == b"secret" * 100000
print(Client(uri).get_file_info(f"/{name}").owner)
"""


@pytest.fixture(scope="module")
def secure(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureHdfs]:
    if ctypes.util.find_library("gssapi_krb5") is None:
        pytest.skip("no libgssapi_krb5 here")
    made = SecureHdfs(Hadoop(tmp_path_factory.mktemp("secure"), network))
    try:
        yield made
    finally:
        made.stop()


def test_a_ticket_lets_in(secure: SecureHdfs) -> None:
    ended = secure.python(PROBE, secure.uri, "by-ticket", environment=secure.with_ticket())
    assert ended.stdout.strip() == "alice", ended.stderr


def test_nothing_lets_nobody_in(secure: SecureHdfs) -> None:
    ended = secure.python(PROBE, secure.uri, "by-nothing")
    assert ended.returncode == 1
    assert "RunError: cannot write" in ended.stderr.splitlines()[-1]


def test_a_delegation_token_lets_in(secure: SecureHdfs, tmp_path) -> None:
    """What Spark gets for its executors on YARN, which have no ticket."""
    tokens = tmp_path / "tokens"
    fetcher = "org.apache.hadoop.hdfs.tools.DelegationTokenFetcher"
    secure.java(fetcher, "--renewer", "yarn", str(tokens), environment=secure.with_ticket())
    only = {**secure.variables(), "HADOOP_TOKEN_FILE_LOCATION": str(tokens)}
    ended = secure.python(PROBE, secure.uri, "by-token", environment=only)
    assert ended.stdout.strip() == "alice", ended.stderr
