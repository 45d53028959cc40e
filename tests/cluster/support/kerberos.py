"""A Kerberos KDC, Hadoop's own for tests, and an HDFS that lets nobody in without a ticket or token of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.cluster.support.hadoop import Hadoop, hadoop_version, java
from tests.cluster.support.processes import Server, answers, free_port
from tests.conftest import ROOT

REALM = "EXAMPLE.COM"
_HDFS = "org.apache.hadoop.hdfs"
_POM = """<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>tests</groupId><artifactId>kdc</artifactId><version>1</version><dependencies><dependency>
<groupId>org.apache.hadoop</groupId><artifactId>hadoop-minikdc</artifactId><version>{version}</version>
</dependency></dependencies></project>
"""


def _kdc_jars() -> Path:
    """Returns the folder of the KDC's jars; Maven gets them once into a cache outside of the repository."""
    version = hadoop_version()
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"), "cxr_spark", f"hadoop-minikdc-{version}")
    if (cache / "done").exists():
        return cache
    maven = shutil.which("mvn")
    if maven is None:
        pytest.skip(f"no Maven (mvn) to get org.apache.hadoop:hadoop-minikdc:{version} with")
    cache.mkdir(parents=True, exist_ok=True)
    (cache / "pom.xml").write_text(_POM.format(version=version))
    command = [maven, "-q", "-B", "dependency:copy-dependencies", f"-DoutputDirectory={cache}"]
    try:
        subprocess.run(command, cwd=cache, check=True, capture_output=True, timeout=600)
    except (subprocess.SubprocessError, OSError) as error:
        pytest.skip(f"Maven cannot get hadoop-minikdc: {error}")
    (cache / "done").touch()
    return cache


class SecureHdfs:
    """A KDC, a NameNode and a DataNode, all on the driver's address.

    Attributes:
        uri: of the root, which everyone who is let in may write to.
        principal: an ordinary user, alice.
        keytab: with the keys of all principals, alice's first.
    """

    principal = f"alice@{REALM}"

    def __init__(self, hadoop: Hadoop) -> None:
        self._hadoop = hadoop
        self._address = hadoop.network.driver
        self._krb5 = hadoop.folder / "krb5.conf"
        self.keytab = hadoop.folder / "all.keytab"
        port = free_port(self._address)
        self.uri = f"hdfs://{self._address}:{port}"
        self._servers: list[Server] = []
        try:
            self._start_kdc()
            self._start_hdfs(port)
        except BaseException:
            self.stop()
            raise

    def _start_kdc(self) -> None:
        port, folder = free_port(self._address), self._hadoop.folder
        self._krb5.write_text(
            f"[libdefaults]\n default_realm = {REALM}\n dns_canonicalize_hostname = false\n rdns = false\n"
            " udp_preference_limit = 1\n"
            f"[realms]\n {REALM} = {{\n  kdc = {self._address}:{port}\n }}\n"
        )
        settings = folder / "kdc.properties"
        settings.write_text(f"kdc.bind.address={self._address}\nkdc.port={port}\n")
        (folder / "kdc").mkdir()
        command = [java(), "-Xmx96m", "-cp", f"{_kdc_jars()}/*", "org.apache.hadoop.minikdc.MiniKdc"]
        command += [str(folder / "kdc"), str(settings), str(self.keytab), "alice", "hdfs/server", "HTTP/server"]
        kdc = Server("KDC", self._hadoop.network.head.command(*command), folder / "kdc.log", self._hadoop.environment())
        self._servers.append(kdc)
        kdc.wait_until(lambda: "Standalone MiniKdc Running" in kdc.log.read_text(), "keytab")

    def _start_hdfs(self, port: int) -> None:
        hadoop = self._hadoop
        hadoop.write_settings("core-site", {
            **hadoop.core,
            "fs.defaultFS": self.uri,
            "hadoop.security.authentication": "kerberos",
            "hadoop.security.authorization": "true",
        })  # fmt: skip
        hadoop.write_settings("hdfs-site", self._settings())
        main = f"{_HDFS}.server.namenode.NameNode"
        self.java(main, "-format", "-nonInteractive")
        self._serve("NameNode", main).wait_until(lambda: answers(self._address, port), "answer")
        data = self._serve("DataNode", f"{_HDFS}.server.datanode.DataNode")
        data.wait_until(lambda: "successfully registered with NN" in data.log.read_text(), "registration")
        allow = (
            "import sys; from hdfs_native import Client; uri, principal, keytab = sys.argv[1:]; "
            "Client(uri, kerberos_principal=principal, kerberos_keytab=keytab).set_permission('/', 0o777)"
        )
        self.python(allow, self.uri, f"hdfs/server@{REALM}", str(self.keytab)).check_returncode()

    def _settings(self) -> dict[str, str]:
        folder, address = self._hadoop.folder, self._address
        found = {
            "dfs.namenode.name.dir": str(folder / "name"),
            "dfs.namenode.http-address": f"{address}:0",
            "dfs.replication": "1",
            "dfs.block.access.token.enable": "true",
            "dfs.data.transfer.protection": "privacy",
            # A DataNode on a port that only root may open, or with certificates for https, proves no more here.
            "ignore.secure.ports.for.testing": "true",
            "dfs.datanode.data.dir": str(folder / "data"),
            "dfs.datanode.hostname": address,
            **{f"dfs.datanode.{kind}address": f"{address}:0" for kind in ("", "ipc.", "http.")},
            "dfs.web.authentication.kerberos.principal": f"HTTP/server@{REALM}",
            "dfs.web.authentication.kerberos.keytab": str(self.keytab),
        }
        for server in ("namenode", "datanode"):
            found[f"dfs.{server}.kerberos.principal"] = f"hdfs/server@{REALM}"
            found[f"dfs.{server}.keytab.file"] = str(self.keytab)
        return found

    def yarn_settings(self) -> dict[str, str]:
        """Returns what YARN's servers need to be among those that are let in; they share a principal with HDFS."""
        found = {"yarn.nodemanager.env-whitelist": "JAVA_HOME,HADOOP_CONF_DIR,PATH,JAVA_TOOL_OPTIONS,KRB5_CONFIG"}
        for server in ("resourcemanager", "nodemanager"):
            found[f"yarn.{server}.principal"] = f"hdfs/server@{REALM}"
            found[f"yarn.{server}.keytab"] = str(self.keytab)
        return found

    def variables(self) -> dict[str, str]:
        """Returns the environment of who has no ticket."""
        outside = {key: value for key, value in self._hadoop.environment().items() if key != "KRB5_CLIENT_KTNAME"}
        return {
            **outside,
            "KRB5_CONFIG": str(self._krb5),
            "KRB5CCNAME": f"FILE:{self._hadoop.folder}/no-tickets",
            "JAVA_TOOL_OPTIONS": f"-Djava.security.krb5.conf={self._krb5}",
        }

    def with_ticket(self) -> dict[str, str]:
        """Returns the environment of alice: the library gets the ticket by her keytab, as `kinit -k` would."""
        cache = self._hadoop.folder / "alice.tickets"
        return {**self.variables(), "KRB5CCNAME": f"FILE:{cache}", "KRB5_CLIENT_KTNAME": f"FILE:{self.keytab}"}

    def python(
        self, code: str, *arguments: str, environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Runs Python in a process of its own: a ticket that a process has seen it keeps."""
        command = self._hadoop.network.head.command(sys.executable, "-c", code, *arguments)
        own = environment or self.variables()
        return subprocess.run(command, env=dict(own), cwd=ROOT, capture_output=True, text=True, timeout=300)

    def java(self, main: str, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
        """Runs one of Hadoop's tools."""
        command = self._hadoop.network.head.command(*self._hadoop.java(main, arguments))
        ended = subprocess.run(command, env=dict(environment or self.variables()), capture_output=True, text=True)
        if ended.returncode:
            raise RuntimeError(f"{main} {arguments}: exit status {ended.returncode}\n{ended.stderr[-3000:]}")

    def _serve(self, name: str, main: str) -> Server:
        command = self._hadoop.network.head.command(*self._hadoop.java(main))
        server = Server(name, command, self._hadoop.folder / f"{name}.log", self.variables())
        self._servers.append(server)
        return server

    def stop(self) -> None:
        for server in reversed(self._servers):
            server.kill()
