"""A pair of NameNodes with one name, of which either takes over, and a viewfs on top, by Hadoop's usual settings."""

from __future__ import annotations

import subprocess

from tests.cluster.support.hadoop import Hadoop
from tests.cluster.support.processes import Server, answers, free_port

#: Names of the pair and of the view.
NAME, VIEW = "cxr", "cluster"
_HDFS = "org.apache.hadoop.hdfs"
_NAME_NODE = f"{_HDFS}.server.namenode.NameNode"


class HaHdfs:
    """Two NameNodes on the driver's address, which share their journal in a folder, and one DataNode.

    Who is active is decided by hand, as an administrator would without ZooKeeper.
    """

    def __init__(self, hadoop: Hadoop) -> None:
        self._hadoop = hadoop
        self._address = hadoop.network.driver
        self._ports = {node: free_port(self._address) for node in ("nn1", "nn2")}
        hadoop.write_settings("core-site", {
            **hadoop.core,
            "fs.defaultFS": f"hdfs://{NAME}",
            f"fs.viewfs.mounttable.{VIEW}.link./data": f"hdfs://{NAME}/data",
            # hdfs-native wants one, also where no path falls back to it.
            f"fs.viewfs.mounttable.{VIEW}.linkFallback": f"hdfs://{NAME}/",
        })  # fmt: skip
        settings = self._settings()
        hadoop.write_settings("hdfs-site", settings)
        for node in self._ports:
            hadoop.write_settings("hdfs-site", {**settings, "dfs.ha.namenode.id": node}, hadoop.folder / node)
        self._run(_NAME_NODE, "-format", "-nonInteractive", node="nn1")
        self._name_nodes = {"nn1": self._name_node("nn1")}
        self._run(_NAME_NODE, "-bootstrapStandby", "-nonInteractive", node="nn2")
        self._name_nodes["nn2"] = self._name_node("nn2")
        self._make_active("nn1")
        command = hadoop.network.head.command(*hadoop.java(f"{_HDFS}.server.datanode.DataNode"))
        self._data_node = Server("DataNode", command, hadoop.folder / "datanode.log", hadoop.environment())
        # A NameNode takes no writes before it knows a DataNode; the one in reserve learns of it, too.
        self._data_node.wait_until(lambda: self._registrations() == len(self._ports), "registration")

    def _settings(self) -> dict[str, str]:
        folder = self._hadoop.folder
        found = {
            "dfs.nameservices": NAME,
            f"dfs.ha.namenodes.{NAME}": ",".join(self._ports),
            f"dfs.client.failover.proxy.provider.{NAME}":
                f"{_HDFS}.server.namenode.ha.ConfiguredFailoverProxyProvider",
            "dfs.namenode.shared.edits.dir": f"file://{folder}/journal",
            "dfs.ha.fencing.methods": "shell(/bin/true)",
            "dfs.replication": "1",
            "dfs.namenode.safemode.extension": "0",
            "dfs.datanode.data.dir": str(folder / "data"),
            "dfs.datanode.hostname": self._address,
            **{f"dfs.datanode.{kind}address": f"{self._address}:0" for kind in ("", "ipc.", "http.")},
        }  # fmt: skip
        for node, port in self._ports.items():
            found[f"dfs.namenode.rpc-address.{NAME}.{node}"] = f"{self._address}:{port}"
            found[f"dfs.namenode.http-address.{NAME}.{node}"] = f"{self._address}:{free_port(self._address)}"
            found[f"dfs.namenode.name.dir.{NAME}.{node}"] = f"file://{folder}/name-{node}"
        return found

    def _name_node(self, node: str) -> Server:
        hadoop = self._hadoop
        command = hadoop.network.head.command(*hadoop.java(_NAME_NODE, conf=hadoop.folder / node))
        made = Server(f"NameNode {node}", command, hadoop.folder / f"{node}.log", hadoop.environment())
        made.wait_until(lambda: answers(self._address, self._ports[node]), "answer")
        return made

    def _run(self, main: str, *arguments: str, node: str) -> None:
        hadoop = self._hadoop
        command = hadoop.network.head.command(*hadoop.java(main, arguments, conf=hadoop.folder / node))
        ended = subprocess.run(command, env=hadoop.environment(), capture_output=True, text=True)
        if ended.returncode:
            raise RuntimeError(f"{main} {arguments}: exit status {ended.returncode}\n{ended.stderr[-2000:]}")

    def _make_active(self, node: str) -> None:
        self._run(f"{_HDFS}.tools.DFSHAAdmin", "-transitionToActive", "--forceactive", node, node=node)

    def _registrations(self) -> int:
        return self._data_node.log.read_text().count("successfully registered with NN")

    def fail_over(self) -> None:
        """Kills the active NameNode and makes the other one active."""
        self._name_nodes["nn1"].kill()
        self._make_active("nn2")

    def stop(self) -> None:
        for server in (self._data_node, *self._name_nodes.values()):
            server.kill()
