"""HDFS with Kerberos: a ticket or a delegation token lets in, nothing else does, and the files are the principal's."""

from __future__ import annotations

import ctypes.util
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hdfs_native import Client

from tests.cluster.support.files import put
from tests.cluster.support.hadoop import Hadoop
from tests.cluster.support.kerberos import SecureHdfs
from tests.cluster.support.network import Network
from tests.cluster.support.pipeline import Run, check_evaluated
from tests.cluster.support.submit import Submitter
from tests.cluster.support.yarn import Yarn

#: Writes a file and reads it, and says whose it is.
PROBE = """
import sys
from hdfs_native import Client
from cxr_spark.storage.store import Store
uri, name = sys.argv[1:]
store = Store(uri)
store.write_bytes(name, b"secret" * 100000)
assert store.read_bytes(name) == b"secret" * 100000
print(Client(uri).get_file_info(f"/{name}").owner)
"""


@pytest.fixture(scope="module")
def secure_hadoop(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Hadoop:
    return Hadoop(tmp_path_factory.mktemp("secure"), network)


@pytest.fixture(scope="module")
def secure(secure_hadoop: Hadoop) -> Iterator[SecureHdfs]:
    if ctypes.util.find_library("gssapi_krb5") is None:
        pytest.skip("no libgssapi_krb5 here")
    made = SecureHdfs(secure_hadoop)
    try:
        yield made
    finally:
        made.stop()


@pytest.fixture
def alice(secure: SecureHdfs, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Lets the test itself have a ticket, too; returns the environment of who has one."""
    own = {key: value for key, value in secure.with_ticket().items() if os.environ.get(key) != value}
    for key, value in own.items():
        monkeypatch.setenv(key, value)
    return own


@pytest.fixture
def on_secure_yarn(
    secure: SecureHdfs,
    secure_hadoop: Hadoop,
    network: Network,
    yarn_conf: dict[str, str],
    alice: dict[str, str],
    tmp_path: Path,
) -> Iterator[Submitter]:
    """Submits, with a ticket, to a YARN that lets nobody in without one; its containers have none."""
    yarn = Yarn(secure_hadoop, secure.yarn_settings(), secure.variables())
    try:
        yield Submitter("yarn", network.head, tmp_path, yarn_conf, {**alice, "SPARK_LOCAL_IP": network.driver})
    finally:
        yarn.stop()


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


def test_every_job_on_a_yarn_with_kerberos(
    on_secure_yarn: Submitter, secure: SecureHdfs, images: Path, reference: Run
) -> None:
    """The driver has a ticket; executors and training ranks have the delegation tokens that Spark fetched with it."""
    run = Run(on_secure_yarn, put(images, f"{secure.uri}/nih"), f"{secure.uri}/run").all()
    manifest, wanted = run.json("prepared/manifest.json"), reference.json("prepared/manifest.json")
    assert manifest["splits"] == wanted["splits"]  # the files hold the images' URIs, which differ here
    assert run.weights() == reference.weights()
    check_evaluated(run, reference)
    files = Client(secure.uri).list_status("/run", True)
    assert {status.owner for status in files} == {"alice"}
