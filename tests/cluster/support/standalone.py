"""A Spark standalone cluster: the master on the driver's address, a worker on every host."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyspark

from tests.cluster.support.network import Host, Network
from tests.cluster.support.processes import Server, answers, free_port

SPARK_HOME = Path(pyspark.__file__).parent
#: What a worker offers, and thereby an executor has.
CORES = 2
#: Size of a worker's disk for temporary files.
DISK = "256m"


class Standalone:
    """Master and workers, each a process of its own.

    Args:
        folder: for logs and the workers' folders.
        network: who is where.
        environment: of all servers, such as where Hadoop's settings are.
    """

    def __init__(self, folder: Path, network: Network, environment: dict[str, str]) -> None:
        self._folder = folder
        self._environment = {
            **os.environ,
            **environment,
            "SPARK_HOME": str(SPARK_HOME),
            "SPARK_DAEMON_MEMORY": "192m",
            # A worker that says nothing for 20 s is lost to the master; 60 s by itself.
            "SPARK_DAEMON_JAVA_OPTS": "-XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dspark.worker.timeout=20",
            "PYSPARK_PYTHON": sys.executable,
        }
        port = free_port(network.driver)
        self.url = f"spark://{network.driver}:{port}"
        arguments = ["--host", network.driver, "--port", str(port), "--webui-port", "0"]
        own = {**self._environment, "SPARK_LOCAL_IP": network.driver}
        command = [str(SPARK_HOME / "bin" / "spark-class"), "org.apache.spark.deploy.master.Master", *arguments]
        self.master = Server("Spark master", network.head.command(*command), folder / "master.log", own)
        self.master.wait_until(lambda: answers(network.driver, port), "answer")
        self.workers = {host.name: self._worker(host) for host in network.hosts}
        for server in self.workers.values():
            _wait_for_registration(server)

    def restart(self, host: Host) -> None:
        """Starts a host's worker anew, without the executors that it had."""
        server = self.workers[host.name]
        server.kill()
        server.log.unlink()
        server.start()
        _wait_for_registration(server)

    def local_folder(self, host: Host) -> Path:
        """Returns where a host's Spark keeps its temporary files."""
        return self._folder / f"local-{host.name}"

    @contextlib.contextmanager
    def full_disk(self, host: Host) -> Iterator[None]:
        """Fills the disk of a host's temporary files."""
        # In the worker's own mount namespace the folder is a small disk: see `_worker`.
        filler = self.local_folder(host) / "full"
        enter = ["nsenter", "--mount", f"--target={self._worker_pid(host)}"]
        subprocess.run([*enter, "sh", "-c", f"cat /dev/zero > '{filler}' 2>/dev/null; true"], check=True)
        try:
            yield
        finally:
            subprocess.run([*enter, "rm", "-f", str(filler)], check=True)

    def _worker_pid(self, host: Host) -> int:
        return next(pid for pid in host.processes() if "deploy.worker.Worker" in _command(pid))

    def _worker(self, host: Host) -> Server:
        work = self._folder / f"work-{host.name}"
        for folder in (work, self.local_folder(host)):
            folder.mkdir()
        arguments = ["--host", host.address, "--cores", str(CORES), "--memory", "3g", "--webui-port", "0"]
        arguments += ["--work-dir", str(work), self.url]
        own = {
            **self._environment,
            "SPARK_LOCAL_IP": host.address,
            "SPARK_LOCAL_DIRS": str(self.local_folder(host)),
            "TMPDIR": str(self.local_folder(host)),
        }
        # A small disk of its own, which a test can fill.
        command = ["sh", "-ec", f'mount -t tmpfs -o size={DISK} none "$0"; exec "$@"', str(self.local_folder(host))]
        command += [str(SPARK_HOME / "bin" / "spark-class"), "org.apache.spark.deploy.worker.Worker", *arguments]
        return Server(f"Spark worker on {host.name}", host.command(*command), self._folder / f"{host.name}.log", own)

    def stop(self) -> None:
        for server in (*self.workers.values(), self.master):
            server.kill()


def _wait_for_registration(worker: Server) -> None:
    worker.wait_until(lambda: "Successfully registered" in worker.log.read_text(), "registration")


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""
