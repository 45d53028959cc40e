"""The same jobs on Spark standalone and on YARN: workers on hosts of their own, all paths on HDFS."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from cxr_spark.storage.store import Store
from tests.cluster.support.hadoop import DATA_PORT, Hdfs
from tests.cluster.support.network import Network
from tests.cluster.support.pipeline import Run, check_evaluated, check_prepared
from tests.cluster.support.submit import Submitter
from tests.cluster.support.yarn import Yarn


def check_equal(made: Run, reference: Run) -> None:
    check_prepared(made, reference)
    assert made.weights() == reference.weights()
    check_evaluated(made, reference)


def test_standalone_gives_what_local_mode_gives(on_standalone: Submitter, nih: str, hdfs: Hdfs, reference: Run) -> None:
    check_equal(Run(on_standalone, nih, f"{hdfs.uri}/standalone").all(), reference)


def test_yarn_gives_what_local_mode_gives(
    on_yarn: Submitter, nih: str, hdfs: Hdfs, reference: Run, images: Path
) -> None:
    """The same, and logs for whoever runs it: one line an event, how each job ended, nothing of any patient."""
    made = Run(on_yarn, nih, f"{hdfs.uri}/yarn")
    said = {job.__name__: job().ok() for job in (made.prepare, made.train, made.score, made.evaluate)}
    check_equal(made, reference)
    names = re.compile("|".join(path.stem for path in images.rglob("*.png")))
    for job, ended in said.items():
        assert re.fullmatch(
            rf".* INFO cxr_spark: job={job} exit_status=0 seconds=\d+\.\d", ended.output.splitlines()[-1]
        )
        assert re.search(r"YarnClientImpl: Submitted application application_\d+_\d+$", ended.log, re.MULTILINE)
        assert not names.search(ended.output + ended.log)


@pytest.fixture(scope="session")
def in_yarn(on_yarn: Submitter) -> Submitter:
    """Cluster deploy mode: the driver is in YARN, too."""
    conf = {key: value for key, value in on_yarn.conf.items() if not key.startswith("spark.driver.")}
    return replace(on_yarn, conf=conf, options=("--deploy-mode", "cluster"))


def test_yarn_cluster_mode(in_yarn: Submitter, nih: str, hdfs: Hdfs, reference: Run, yarn: Yarn) -> None:
    made = Run(in_yarn, nih, f"{hdfs.uri}/in-yarn")
    ended = made.prepare()
    assert ended.status == 0, yarn.logs()[-6000:]
    check_prepared(made, reference)


def test_yarn_cluster_mode_leaves_its_exit_status(in_yarn: Submitter, nih: str, hdfs: Hdfs, yarn: Yarn) -> None:
    out = f"{hdfs.uri}/in-yarn-failing"
    in_yarn.run("prepare", "--images", nih, "--labels", f"{nih}/test_list.txt", "--out", out).fails(1)
    status = Store(out).read_json("_status.json")
    assert status["exit_status"] == 3
    assert "test_list.txt" in status["error"]


def test_files_belong_to_who_submits(on_standalone: Submitter, nih: str, hdfs: Hdfs) -> None:
    hdfs.allow_all("/")
    made = Run(on_standalone.with_environment(HADOOP_USER_NAME="alice"), nih, f"{hdfs.uri}/home-of-alice")
    made.prepare().ok()
    assert set(hdfs.owners(f"{made.root}/prepared")) == {"alice"}


def test_training_waits_for_executors_only_so_long(on_standalone: Submitter, hdfs: Hdfs, reference: Run) -> None:
    made = Run(on_standalone.without_conf("spark.cores.max"), "", f"{hdfs.uri}/too-few")
    few = ["--workers", 5, "--set", "train.global_batch=20", "--set", "train.start_timeout=5"]
    ended = made.train(*few, data=f"{reference.root}/prepared").fails(2)
    ended.says("--workers 5: the cluster has places for", "after 5 s")


def test_ranks_that_cannot_reach_each_other_are_named(
    on_standalone: Submitter, network: Network, hdfs: Hdfs, reference: Run
) -> None:
    if shutil.which("iptables") is None:
        pytest.skip("no firewall iptables here")
    one, other = network.hosts
    made = Run(on_standalone, "", f"{hdfs.uri}/unreachable")
    with one.refusing(other, but=DATA_PORT):  # HDFS goes on
        ended = made.train(data=f"{reference.root}/prepared").fails(4)
    ended.says("cannot reach rank", f" on {one.address}", f" on {other.address}")
