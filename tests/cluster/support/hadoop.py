"""A real HDFS and a real YARN, from the servers in Hadoop's own test artifact, of the version that pyspark carries."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

import pyspark
import pytest
from hdfs_native import Client

from tests.cluster.support.network import Host, Network
from tests.cluster.support.processes import Server, answers, free_port

JARS = Path(pyspark.__file__).parent / "jars"
#: Where DataNodes take and give blocks, HDFS's usual one.
DATA_PORT = 9866
#: What Hadoop's servers reach into, closed since Java 17.
_OPENS = ("java.lang", "java.util", "java.net", "java.nio", "sun.nio.ch")
#: Of pyspark's own jars, what the servers need beside the client.
_SHARED = (
    "hadoop-client-api", "hadoop-client-runtime", "slf4j-api", "log4j-1.2-api", "log4j-api", "log4j-core",
    "log4j-slf4j2-impl", "commons-logging", "jcl-over-slf4j", "activation", "jakarta.xml.bind-api",
    "jakarta.servlet-api",
)  # fmt: skip
#: The ResourceManager makes certificates, also where nobody asks for any.
_BOUNCY_CASTLE = ("org.bouncycastle:bcprov-jdk15on:1.60", "org.bouncycastle:bcpkix-jdk15on:1.60")


def hadoop_version() -> str:
    """Returns the version of Hadoop's client among pyspark's jars."""
    for jar in JARS.glob("hadoop-client-api-*.jar"):
        return jar.stem.removeprefix("hadoop-client-api-")
    raise RuntimeError(f"no Hadoop client in {JARS}")


def java() -> str:
    """Returns the Java that all servers run on; the tests are skipped, visibly, where there is none."""
    found = shutil.which(str(Path(os.environ["JAVA_HOME"], "bin", "java")) if "JAVA_HOME" in os.environ else "java")
    if found is None:
        pytest.skip("no Java for Hadoop's and Spark's servers: set JAVA_HOME")
    return found


def server_jars() -> list[Path]:
    """Returns the servers' jars; Maven gets them once into a cache outside of the repository.

    The tests are skipped, visibly, where there is no Maven or it cannot get them.
    """
    version = hadoop_version()
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"), "cxr_spark", f"hadoop-{version}")
    artifacts = (f"org.apache.hadoop:hadoop-client-minicluster:{version}", *_BOUNCY_CASTLE)
    jars = []
    for artifact in artifacts:
        _, name, its_version = artifact.split(":")
        jar = cache / f"{name}-{its_version}.jar"
        if not jar.exists():
            _get(artifact, cache)
        jars.append(jar)
    shared = [jar for name in _SHARED for jar in JARS.glob(f"{name}-[0-9]*.jar")]
    return [*jars, *shared]


def _get(artifact: str, folder: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        pytest.skip(f"no Maven (mvn) to get Hadoop's servers with: put {artifact} into {folder}")
    command = [maven, "-q", "-B", "dependency:get", f"-Dartifact={artifact}", "-Dtransitive=false"]
    copy = [maven, "-q", "-B", "dependency:copy", f"-Dartifact={artifact}", f"-DoutputDirectory={folder}"]
    try:
        for each in (command, copy):
            subprocess.run(each, check=True, capture_output=True, timeout=600)
    except (subprocess.SubprocessError, OSError) as error:
        pytest.skip(f"Maven cannot get {artifact}: {error}")


class Hadoop:
    """What all servers share: jars, settings, a folder for data and logs.

    Args:
        folder: for everything.
        network: who is where.
    """

    def __init__(self, folder: Path, network: Network) -> None:
        self.folder = folder
        self.network = network
        self.conf = folder / "conf"
        self._jars = server_jars()
        for web in ("cluster", "node"):  # YARN's own pages are not in the artifact; empty ones serve
            (self.conf / "webapps" / web / "WEB-INF").mkdir(parents=True)
        self.core: dict[str, str] = {
            # Containers' Pythons have no user database entry for whoever submits; neither do groups matter here.
            "hadoop.security.group.mapping": "org.apache.hadoop.security.JniBasedUnixGroupsMappingWithFallback",
        }

    def write_settings(self, name: str, values: Mapping[str, str], folder: Path | None = None) -> None:
        lines = [
            f"  <property><name>{key}</name><value>{escape(value)}</value></property>" for key, value in values.items()
        ]
        target = folder or self.conf
        target.mkdir(parents=True, exist_ok=True)
        text = "\n".join(["<configuration>", *lines, "</configuration>", ""])
        (target / f"{name}.xml").write_text(text)

    def java(self, main: str, arguments: Sequence[str] = (), heap: str = "192m", conf: Path | None = None) -> list[str]:
        opens = [part for package in _OPENS for part in ("--add-opens", f"java.base/{package}=ALL-UNNAMED")]
        path = os.pathsep.join(map(str, (*([conf] if conf else []), self.conf, *self._jars)))
        options = [f"-Xmx{heap}", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
        options.append("-Dorg.apache.logging.log4j.level=INFO")
        return [java(), *options, *opens, "-cp", path, main, *arguments]

    def environment(self) -> dict[str, str]:
        return {**os.environ, "HADOOP_CONF_DIR": str(self.conf)}


class Hdfs:
    """One NameNode, on the driver's address, and a DataNode on every host."""

    def __init__(self, hadoop: Hadoop) -> None:
        self._hadoop = hadoop
        address = hadoop.network.driver
        self.port = free_port(address)
        self.uri = f"hdfs://{address}:{self.port}"
        self._pages = f"{address}:{free_port(address)}"
        hadoop.write_settings("core-site", {**hadoop.core, "fs.defaultFS": self.uri})
        hadoop.write_settings("hdfs-site", self._settings(address))
        name_node = "org.apache.hadoop.hdfs.server.namenode.NameNode"
        environment = hadoop.environment()
        head = hadoop.network.head
        make = head.command(*hadoop.java(name_node, ["-format", "-nonInteractive"]))
        subprocess.run(make, env=environment, check=True, capture_output=True)
        log = hadoop.folder / "namenode.log"
        self.name_node = Server("NameNode", head.command(*hadoop.java(name_node)), log, environment)
        self.name_node.wait_until(lambda: answers(address, self.port), "answer")
        self.data_nodes = [self._data_node(host) for host in hadoop.network.hosts]
        self.wait_for_data_nodes()

    def restart(self) -> None:
        """Starts the NameNode again, where it was."""
        self.name_node.start()
        self.wait_for_data_nodes()

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Lets the NameNode answer nothing, as if its host had lost its power."""
        os.killpg(self.name_node.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.killpg(self.name_node.pid, signal.SIGCONT)

    def wait_for_data_nodes(self) -> None:
        """Waits until the NameNode knows all DataNodes, and no other."""
        self.name_node.wait_until(lambda: self._live() == len(self.data_nodes), "DataNodes")

    def _live(self) -> int:
        query = f"http://{self._pages}/jmx?qry=Hadoop:service=NameNode,name=FSNamesystemState"
        try:
            with urllib.request.urlopen(query, timeout=10) as answer:
                return int(json.load(answer)["beans"][0]["NumLiveDataNodes"])
        except (OSError, LookupError):
            return -1

    def _settings(self, address: str) -> dict[str, str]:
        return {
            "dfs.namenode.name.dir": str(self._hadoop.folder / "name"),
            "dfs.namenode.http-address": self._pages,
            "dfs.replication": "2",
            "dfs.namenode.replication.min": "1",
            "dfs.permissions.superusergroup": "root",
            # A lost DataNode is noticed in seconds (2 * recheck + 10 * heartbeat), not in ten minutes.
            "dfs.heartbeat.interval": "1",
            "dfs.namenode.heartbeat.recheck-interval": "2000",
            # What does not answer is left alone soon, too; 60 s by itself.
            "dfs.client.socket-timeout": "10000",
            # A NameNode that is not there is tried again for 45 s; 3 minutes by themselves.
            "dfs.client.failover.max.attempts": "8",
            "dfs.namenode.safemode.extension": "0",
            "dfs.namenode.datanode.registration.ip-hostname-check": "false",
            "dfs.namenode.fs-limits.min-block-size": "1024",
        }

    def _data_node(self, host: Host) -> Server:
        conf = self._hadoop.folder / f"conf-{host.name}"
        own = {
            **self._settings(self._hadoop.network.driver),
            "dfs.datanode.data.dir": str(self._hadoop.folder / f"data-{host.name}"),
            "dfs.datanode.hostname": host.address,
            "dfs.datanode.address": f"{host.address}:{DATA_PORT}",
            "dfs.datanode.ipc.address": f"{host.address}:0",
            "dfs.datanode.http.address": f"{host.address}:0",
        }
        self._hadoop.write_settings("hdfs-site", own, conf)
        command = self._hadoop.java("org.apache.hadoop.hdfs.server.datanode.DataNode", conf=conf)
        log = self._hadoop.folder / f"datanode-{host.name}.log"
        return Server(f"DataNode on {host.name}", host.command(*command), log, self._hadoop.environment())

    def stop(self) -> None:
        for server in (*self.data_nodes, self.name_node):
            server.kill()

    def allow_all(self, path: str) -> None:
        """Lets everyone write to a folder."""
        self._client().set_permission(path, 0o777)

    def owners(self, uri: str) -> list[str]:
        """Returns the owners of all files below a folder."""
        found = self._client().list_status(uri.removeprefix(self.uri), True)
        return [status.owner for status in found if not status.isdir]

    def copies(self, uri: str) -> set[int]:
        """Returns of how many copies the NameNode is to keep the files below a folder."""
        found = self._client().list_status(uri.removeprefix(self.uri), True)
        return {status.replication for status in found if not status.isdir}

    def _client(self) -> Client:
        return Client(self.uri)
