"""The same jobs on Spark standalone and on YARN: workers on hosts of their own, all paths on HDFS."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import Any

import pytest

from cxr_spark.storage import Store
from tests.cluster.support.files import leftovers
from tests.cluster.support.hadoop import DATA_PORT, Hdfs
from tests.cluster.support.network import Network
from tests.cluster.support.pipeline import Run
from tests.cluster.support.submit import Submitter
from tests.cluster.support.yarn import Yarn


def counts(manifest: dict[str, Any]) -> dict[str, Any]:
    """What of a manifest must not depend on where the job ran."""
    own = {"created", "files", "bytes", "sources", "versions"}
    return {key: value for key, value in manifest.items() if key not in own}


def images(manifest: dict[str, Any]) -> list[tuple[int, int]]:
    return sorted((file["rows"], file["bytes"]) for file in manifest["files"])


def check_equal(made: Run, reference: Run) -> None:
    assert counts(made.json("prepared/manifest.json")) == counts(reference.json("prepared/manifest.json"))
    of_both = [run.json("run/model/metadata.json")["weights_sha256"] for run in (made, reference)]
    assert of_both[0] == of_both[1]
    evaluations = [run.json("evaluation/metrics.json") for run in (made, reference)]
    for part in ("findings", "macro", "micro", "n_images"):
        assert evaluations[0][part] == evaluations[1][part]
    assert leftovers(made.root) == []


def pipeline(submitter: Submitter, nih: str, root: str) -> Run:
    made = Run(submitter, nih, root)
    made.prepare().ok()
    made.train("run", "--workers", 2).ok()
    made.score(f"{root}/run/model").ok()
    made.evaluate().ok()
    return made


def test_standalone_gives_what_local_mode_gives(on_standalone: Submitter, nih: str, hdfs: Hdfs, reference: Run) -> None:
    check_equal(pipeline(on_standalone, nih, f"{hdfs.uri}/standalone"), reference)


def test_yarn_gives_what_local_mode_gives(on_yarn: Submitter, nih: str, hdfs: Hdfs, reference: Run) -> None:
    check_equal(pipeline(on_yarn, nih, f"{hdfs.uri}/yarn"), reference)


@pytest.fixture(scope="session")
def in_yarn(on_yarn: Submitter) -> Submitter:
    """Cluster deploy mode: the driver is in YARN, too."""
    conf = {key: value for key, value in on_yarn.conf.items() if not key.startswith("spark.driver.")}
    return replace(on_yarn, conf=conf, options=("--deploy-mode", "cluster"))


def test_yarn_cluster_mode(in_yarn: Submitter, nih: str, hdfs: Hdfs, reference: Run, yarn: Yarn) -> None:
    made = Run(in_yarn, nih, f"{hdfs.uri}/in-yarn")
    ended = made.prepare()
    assert ended.status == 0, yarn.logs()[-6000:]
    assert counts(made.json("prepared/manifest.json")) == counts(reference.json("prepared/manifest.json"))
    assert images(made.json("prepared/manifest.json")) == images(reference.json("prepared/manifest.json"))


def test_yarn_cluster_mode_leaves_its_exit_status(in_yarn: Submitter, nih: str, hdfs: Hdfs, yarn: Yarn) -> None:
    out = f"{hdfs.uri}/in-yarn-failing"
    ended = in_yarn.run("prepare", "--images", nih, "--labels", f"{nih}/test_list.txt", "--out", out)
    assert ended.status == 1
    status = Store(out).read_json("_status.json")
    assert status["exit_status"] == 3
    assert "test_list.txt" in status["error"]


def test_files_belong_to_who_submits(on_standalone: Submitter, hdfs: Hdfs, reference: Run) -> None:
    hdfs.allow_all("/")
    out = f"{hdfs.uri}/home-of-alice/scores"
    alice = on_standalone.with_environment(HADOOP_USER_NAME="alice")
    given = ["--data", f"{reference.root}/prepared", "--model", f"{reference.root}/run/model", "--out", out]
    alice.run("score", *given).ok()
    assert set(hdfs.owners(out)) == {"alice"}


def test_training_waits_for_executors_only_so_long(on_standalone: Submitter, hdfs: Hdfs, reference: Run) -> None:
    made = Run(on_standalone, "", f"{hdfs.uri}/too-few")
    few = ["--workers", 5, "--set", "train.global_batch=20", "--set", "train.start_timeout=5"]
    ended = made.train("run", *few, data=f"{reference.root}/prepared")
    assert ended.status == 2
    ended.says("--workers 5: the cluster has places for")


def test_ranks_that_cannot_reach_each_other_are_named(
    on_standalone: Submitter, network: Network, hdfs: Hdfs, reference: Run
) -> None:
    if not network.isolated or shutil.which("iptables") is None:
        pytest.skip("hosts of their own need network namespaces (root), and a firewall iptables")
    one, other = network.hosts
    one.refuse(other, but=DATA_PORT)  # HDFS goes on
    try:
        made = Run(on_standalone.with_conf({"spark.task.cpus": "2"}), "", f"{hdfs.uri}/unreachable")
        options = ["--workers", 2, "--set", "train.threads_per_worker=2"]
        ended = made.train("run", *options, data=f"{reference.root}/prepared")
    finally:
        one.accept(other, but=DATA_PORT)
    assert ended.status == 4
    ended.says("cannot reach rank", f" on {one.address}", f" on {other.address}")
