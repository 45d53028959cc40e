"""What breaks on clusters, done on purpose: the output is whole and the same, or the error says what to do."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from cxr_spark.storage.store import Store
from tests.cluster.support.files import leftovers, predictions, tables
from tests.cluster.support.hadoop import Hdfs
from tests.cluster.support.network import Host, Network
from tests.cluster.support.pipeline import Run, check_evaluated, check_prepared
from tests.cluster.support.standalone import Standalone
from tests.cluster.support.submit import Job, Submitter
from tests.cluster.support.victims import (
    first_task,
    is_executor,
    is_rank,
    is_task,
    kill,
    resume,
    stop_first_task,
    suspend,
)

#: Spark gives a host up that says nothing for so long; 120 s by itself.
NOTICE_SOON = {
    "spark.network.timeout": "10s",
    "spark.network.timeoutInterval": "2s",
    "spark.executor.heartbeatInterval": "2s",
}


@pytest.fixture(autouse=True)
def told(request: pytest.FixtureRequest) -> Iterator[None]:
    """Says how long each fault took: the table in docs/faults.md."""
    started = time.monotonic()
    yield
    print(f"\nfault {request.node.name}: {time.monotonic() - started:.0f} s")


@pytest.fixture
def run(on_standalone: Submitter, nih: str, hdfs: Hdfs, reference: Run, request: pytest.FixtureRequest) -> Run:
    """A run on Spark standalone with a folder of its own; the reference is there already."""
    return Run(on_standalone, nih, f"{hdfs.uri}/{request.node.name}")


def test_executor_lost_during_prepare(run: Run, network: Network, reference: Run) -> None:
    job = run.submitter.start("prepare", *run.prepare_options())
    lost = stop_first_task(job, network.hosts)
    job.wait_until(lambda: tables(run.root, "prepared/data"), "file of a task on the other host")
    kill(lost, is_executor, is_task)
    job.finish().ok().says("Lost executor")
    check_prepared(run, reference)


def test_executor_lost_during_score(run: Run, network: Network, reference: Run) -> None:
    out = f"{run.root}/scores"
    given = ["--data", f"{reference.root}/prepared", "--split", "all", "--model", f"{reference.root}/run/model"]
    job = run.submitter.start("score", *given, "--out", out)
    kill(stop_first_task(job, network.hosts), is_executor, is_task)
    job.finish().ok().says("Lost executor")
    found = Counter(name for name, _ in predictions(out))
    assert len(found) == sum(split["images"] for split in reference.json("prepared/manifest.json")["splits"].values())
    assert set(found.values()) == {1}
    assert leftovers(out) == []


def test_executor_lost_during_evaluate(run: Run, network: Network, reference: Run) -> None:
    job = run.submitter.start("evaluate", *run.evaluate_options(f"{reference.root}/scores"))
    kill(stop_first_task(job, network.hosts), is_executor, is_task)
    job.finish().ok().says("Lost executor")
    check_evaluated(run, reference)


def start_training(run: Run, reference: Run, *options: object) -> Job:
    """Starts training on what the reference prepared, with a checkpoint after every step."""
    given = [*run.train_options(f"{reference.root}/prepared"), "--set", "train.checkpoint_every_steps=1"]
    return run.submitter.start("train", *given, *options)


def stop_in_the_middle_of_an_epoch(job: Job, run: Run, network: Network) -> None:
    """Stops all ranks when the first epoch has a checkpoint, and has not come to its end."""

    def entries() -> list[dict[str, Any]]:
        checkpoints = Store(f"{run.root}/run/checkpoints")
        return list(checkpoints.read_json("manifest.json")["entries"]) if checkpoints.exists("manifest.json") else []

    job.wait_until(lambda: [entry for entry in entries() if entry["global_step"]], "checkpoint within the epoch")
    for host in network.hosts:  # none goes on while the test looks for them
        suspend(host, is_rank)
    assert [entry["epoch"] for entry in entries()][-1] == 0


def test_rank_lost_in_the_middle_of_an_epoch(run: Run, network: Network, reference: Run) -> None:
    job = start_training(run, reference)
    stop_in_the_middle_of_an_epoch(job, run, network)
    kill(network.hosts[0], is_rank)
    resume(network.hosts[1], is_rank)
    job.finish().ok().says("the ranks died (1 of 3 restarts)")
    assert run.weights() == reference.weights()


@pytest.fixture
def lost(network: Network, standalone: Standalone, hdfs: Hdfs) -> Iterator[Host]:
    """A host to cut off; what runs on it is made anew afterwards."""
    host = network.hosts[0]
    yield host
    standalone.restart(host)
    hdfs.wait_for_data_nodes()


def test_host_cut_off_during_training(run: Run, network: Network, reference: Run, lost: Host) -> None:
    """The other host has room for both ranks."""
    submitter = run.submitter.with_conf(NOTICE_SOON)
    job = start_training(replace(run, submitter=submitter), reference, "--set", "train.rank_timeout=20")
    stop_in_the_middle_of_an_epoch(job, run, network)
    with lost.cut_off():
        for host in network.hosts:
            resume(host, is_rank)
        job.finish().ok().says("ExecutorLostFailure", "(1 of 3 restarts)")
    assert run.weights() == reference.weights()


def test_host_cut_off_without_room_for_its_rank(
    run: Run, network: Network, standalone: Standalone, hdfs: Hdfs, reference: Run, lost: Host
) -> None:
    """The job ends, and goes on when the host is back."""
    room_for_one = {"spark.executor.memory": "1600m"}
    cramped = replace(run, submitter=run.submitter.with_conf(NOTICE_SOON | room_for_one))
    job = start_training(cramped, reference, "--set", "train.start_timeout=5")
    stop_in_the_middle_of_an_epoch(job, run, network)
    with lost.cut_off():
        for host in network.hosts:
            resume(host, is_rank)
        job.finish().fails(4).says("places for 1 of 2", "run the same command again")
    standalone.restart(lost)
    hdfs.wait_for_data_nodes()
    again = start_training(cramped, reference).finish().ok()
    assert re.search(r"from step [1-9]", again.output)
    assert run.weights() == reference.weights()


def test_data_node_lost(run: Run, hdfs: Hdfs, reference: Run) -> None:
    lost = hdfs.data_nodes[0]
    lost.kill()
    try:
        run.prepare().ok()
        check_prepared(run, reference)
    finally:
        lost.start()
        hdfs.wait_for_data_nodes()


def test_host_cut_off_during_prepare(run: Run, reference: Run, lost: Host) -> None:
    job = run.submitter.with_conf(NOTICE_SOON).start("prepare", *run.prepare_options())
    stop_first_task(job, [lost])
    with lost.cut_off():
        resume(lost, is_task)
        job.finish().ok().says("Lost executor")
    check_prepared(run, reference)


def test_only_name_node_away_for_a_while(run: Run, network: Network, hdfs: Hdfs, reference: Run) -> None:
    job = run.submitter.start("prepare", *run.prepare_options())
    held = stop_first_task(job, network.hosts)
    hdfs.name_node.kill()
    resume(held, is_task)
    time.sleep(10)  # tasks and driver have met nobody by now
    hdfs.restart()
    job.finish().ok()
    check_prepared(run, reference)


def test_only_name_node_lost(run: Run, network: Network, hdfs: Hdfs, reference: Run) -> None:
    soon = run.submitter.with_conf({"spark.task.maxFailures": "1"})  # each attempt waits as long
    job = soon.start("prepare", *run.prepare_options())
    held = stop_first_task(job, network.hosts)
    hdfs.name_node.kill()
    try:
        resume(held, is_task)
        job.finish().fails(4).says("cxr-spark prepare: cannot", "Connection refused", "job=prepare exit_status=4")
    finally:
        hdfs.restart()
    run.prepare().ok()
    check_prepared(run, reference)


def test_driver_lost_before_the_commit(run: Run, network: Network, reference: Run) -> None:
    job = run.submitter.start("prepare", *run.prepare_options())
    first_task(job, network.hosts)
    job.driver().suspend()  # tasks go on, but nobody commits what they write
    written = len(tables(f"{reference.root}/prepared"))
    job.wait_until(lambda: len(tables(run.root, "prepared/data")) == written, "last file")
    job.kill()
    assert not Store(f"{run.root}/prepared").exists("manifest.json")
    run.prepare().ok()
    check_prepared(run, reference)


def test_two_submissions_onto_one_output(run: Run, network: Network, reference: Run) -> None:
    first = run.submitter.start("prepare", *run.prepare_options())
    held = stop_first_task(first, network.hosts)
    run.prepare().fails(2).says("is in use by 'prepare'")
    resume(held, is_task)
    first.finish().ok()
    check_prepared(run, reference)


def test_full_disk_on_a_worker(run: Run, standalone: Standalone, network: Network, reference: Run) -> None:
    with standalone.full_disk(network.hosts[0]):
        run.prepare().ok()  # needs no local disk
        check_prepared(run, reference)
        ended = run.train("--set", "train.max_restarts=0").fails(4)
    ended.says("cannot set", "spark.local.dir")


def test_nightly_scoring_killed_half_way(run: Run, network: Network, reference: Run) -> None:
    out = f"{run.root}/scores"
    given = ["--images", run.images, "--model", f"{reference.root}/run/model", "--out", out, "--incremental"]
    job = run.submitter.start("score", *given)
    first_task(job, network.hosts)
    job.driver().suspend()
    job.wait_until(lambda: tables(out, "_staged"), "staged file")
    job.kill()
    assert predictions(out) == []
    run.submitter.run("score", *given).ok()
    once = predictions(out)
    assert set(Counter(name for name, _ in once).values()) == {1}
    assert len(once) == reference.json("prepared/manifest.json")["images_found"]
    run.submitter.run("score", *given).ok()
    assert predictions(out) == once
    assert leftovers(out) == []
