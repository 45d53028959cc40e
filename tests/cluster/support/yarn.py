"""YARN: the ResourceManager on the driver's address, a NodeManager on every host."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from tests.cluster.support.hadoop import Hadoop
from tests.cluster.support.network import Host
from tests.cluster.support.processes import Server, answers, free_port

_PACKAGE = "org.apache.hadoop.yarn.server"
#: What each host offers: room for one executor and a driver, so that two executors are on two hosts.
MEMORY_MB, CORES = 3072, 4


class Yarn:
    """One YARN; HDFS must have written its settings before.

    Args:
        hadoop: its folder, settings and jars.
        settings: more settings of its servers.
        environment: more environment variables of its servers.
    """

    def __init__(
        self, hadoop: Hadoop, settings: Mapping[str, str] | None = None, environment: Mapping[str, str] | None = None
    ) -> None:
        self._hadoop = hadoop
        self._environment = {**hadoop.environment(), **(environment or {})}
        address = hadoop.network.driver
        names = ("address", "scheduler.address", "resource-tracker.address", "admin.address", "webapp.address")
        self._settings = {f"yarn.resourcemanager.{name}": f"{address}:{free_port(address)}" for name in names}
        self._settings |= {
            "yarn.resourcemanager.hostname": address,
            "yarn.resourcemanager.am.max-attempts": "1",
            "yarn.scheduler.minimum-allocation-mb": "128",
            "yarn.scheduler.maximum-allocation-mb": str(MEMORY_MB),
            "yarn.nodemanager.resource.memory-mb": str(MEMORY_MB),
            "yarn.nodemanager.resource.cpu-vcores": str(CORES),
            "yarn.nodemanager.vmem-check-enabled": "false",
            # However full the disk of the machine is that runs the tests.
            "yarn.nodemanager.disk-health-checker.max-disk-utilization-per-disk-percentage": "100",
            "yarn.nodemanager.delete.debug-delay-sec": "0",
            "yarn.am.liveness-monitor.expiry-interval-ms": "60000",
            **(settings or {}),
        }
        hadoop.write_settings("yarn-site", self._settings)
        hadoop.write_settings("capacity-scheduler", {
            "yarn.scheduler.capacity.root.queues": "default",
            "yarn.scheduler.capacity.root.default.capacity": "100",
            "yarn.scheduler.capacity.maximum-am-resource-percent": "0.5",
            "yarn.scheduler.capacity.resource-calculator":
                "org.apache.hadoop.yarn.util.resource.DominantResourceCalculator",
        })  # fmt: skip
        command = hadoop.java(f"{_PACKAGE}.resourcemanager.ResourceManager", heap="256m")
        command = hadoop.network.head.command(*command)
        self.manager = Server("ResourceManager", command, hadoop.folder / "resourcemanager.log", self._environment)
        host, port = self._settings["yarn.resourcemanager.resource-tracker.address"].split(":")
        self.manager.wait_until(lambda: answers(host, int(port)), "answer")
        self.nodes = [self._node(host) for host in hadoop.network.hosts]
        for node in self.nodes:
            node.wait_until(lambda log=node.log: "Registered with ResourceManager" in log.read_text(), "registration")

    def _node(self, host: Host) -> Server:
        folder = self._hadoop.folder
        own = {
            **self._settings,
            "yarn.nodemanager.hostname": host.address,
            "yarn.nodemanager.bind-host": host.address,
            "yarn.nodemanager.address": f"{host.address}:0",
            "yarn.nodemanager.localizer.address": f"{host.address}:0",
            "yarn.nodemanager.webapp.address": f"{host.address}:0",
            "yarn.nodemanager.local-dirs": str(folder / f"yarn-local-{host.name}"),
            "yarn.nodemanager.log-dirs": str(folder / f"yarn-logs-{host.name}"),
        }
        conf = folder / f"conf-yarn-{host.name}"
        self._hadoop.write_settings("yarn-site", own, conf)
        environment = {**self._environment, "SPARK_LOCAL_IP": host.address, "PYSPARK_PYTHON": sys.executable}
        command = self._hadoop.java(f"{_PACKAGE}.nodemanager.NodeManager", conf=conf)
        log = folder / f"nodemanager-{host.name}.log"
        return Server(f"NodeManager on {host.name}", host.command(*command), log, environment)

    def logs(self) -> str:
        """Returns what the containers said on standard error."""
        found = sorted(self._hadoop.folder.glob("yarn-logs-*/*/*/stderr"))
        return "\n".join(f"{path}\n{path.read_text(errors='replace')}" for path in found)

    def stop(self) -> None:
        for server in (*self.nodes, self.manager):
            server.kill()
