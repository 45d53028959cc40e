"""What breaks on clusters, done on purpose: the output is whole and the same, or the error says what to do."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator

import pyarrow.parquet as pq
import pytest

from cxr_spark.storage import Store
from tests.cluster.support.files import leftovers, visible
from tests.cluster.support.hadoop import Hdfs
from tests.cluster.support.network import Network
from tests.cluster.support.pipeline import SMALL, Run
from tests.cluster.support.processes import wait_for
from tests.cluster.support.standalone import Standalone
from tests.cluster.support.submit import Submitter, finish, kill
from tests.cluster.support.victims import is_executor, is_rank, on_host
from tests.cluster.support.victims import kill as kill_all
from tests.cluster.test_clusters import counts, images


@pytest.fixture(autouse=True)
def told(request: pytest.FixtureRequest, record_property: object) -> Iterator[None]:
    """Says how long each fault took: the table in docs/faults.md."""
    started = time.monotonic()
    yield
    print(f"\nfault {request.node.name}: {time.monotonic() - started:.0f} s")


def table(uri: str) -> list[tuple[str, list[float]]]:
    """Returns names and probabilities of a scores folder, read without Spark."""
    system, root = Store(uri).arrow()
    names = [name for name in visible(uri) if name.endswith(".parquet") and name[0] != "_"]
    rows = [row for name in names for row in pq.read_table(f"{root}/{name}", filesystem=system).to_pylist()]
    return sorted((row["image_index"], row["probabilities"]) for row in rows)


def prepare_options(run: Run) -> list[object]:
    inputs = ["--images", run.images, "--labels", f"{run.images}/Data_Entry_2017.csv"]
    return [*inputs, "--size", 32, "--out", f"{run.root}/prepared"]


def check_prepared(run: Run, reference: Run) -> None:
    manifest, wanted = run.json("prepared/manifest.json"), reference.json("prepared/manifest.json")
    assert counts(manifest) == counts(wanted)
    assert images(manifest) == images(wanted)
    there = [name for name in visible(f"{run.root}/prepared") if name.endswith(".parquet")]
    assert sorted(there) == sorted(file["name"] for file in manifest["files"])
    assert leftovers(run.root) == []


def test_executor_lost_during_prepare(
    on_standalone: Submitter, network: Network, nih: str, hdfs: Hdfs, reference: Run
) -> None:
    run = Run(on_standalone, nih, f"{hdfs.uri}/lost-prepare")
    job = on_standalone.start("prepare", *prepare_options(run))
    _when_tasks_run(job, f"{run.root}/prepared", "data")
    assert kill_all(on_host(network.hosts[0], is_executor))
    finish(job).ok().says("Lost executor")
    check_prepared(run, reference)


def test_executor_lost_during_score(on_standalone: Submitter, network: Network, hdfs: Hdfs, reference: Run) -> None:
    out = f"{hdfs.uri}/lost-score"
    given = ["--data", f"{reference.root}/prepared", "--split", "all", "--model", f"{reference.root}/run/model"]
    job = on_standalone.start("score", *given, "--out", out)
    wait_for(lambda: on_host(network.hosts[0], _is_worker) or job.poll() is not None, "Python worker", 300)
    assert kill_all(on_host(network.hosts[0], is_executor))
    finish(job).ok().says("Lost executor")
    found = Counter(name for name, _ in table(out))
    assert len(found) == sum(split["images"] for split in reference.json("prepared/manifest.json")["splits"].values())
    assert set(found.values()) == {1}
    assert leftovers(out) == []


def _is_worker(command: list[str]) -> bool:
    return "pyspark.daemon" in command


def _when_tasks_run(job: object, out: str, folder: str) -> None:
    store = Store(out)

    def first() -> bool:
        return store.exists(folder) and any(True for _ in store.files(folder))

    wait_for(lambda: first() or job.poll() is not None, "file of a task", 600)  # type: ignore[attr-defined]


def test_rank_lost_in_the_middle_of_an_epoch(
    on_standalone: Submitter, network: Network, hdfs: Hdfs, reference: Run
) -> None:
    run = Run(on_standalone, "", f"{hdfs.uri}/lost-rank")
    options = ["--data", f"{reference.root}/prepared", "--out", f"{run.root}/run", *SMALL, "--workers", 2]
    job = on_standalone.start("train", *options, "--set", "train.checkpoint_every_steps=1")
    checkpoints = Store(f"{run.root}/run/checkpoints")

    def stepped() -> bool:
        return checkpoints.exists() and sum("step" in info.name for info in checkpoints.files()) > 1

    wait_for(lambda: stepped() or job.poll() is not None, "checkpoint within the epoch", 900)
    killed = sum(kill_all(on_host(host, is_rank)[:1]) for host in network.hosts[:1])
    killed = killed or kill_all(on_host(network.hosts[1], is_rank)[:1])
    assert killed == 1
    finish(job).ok()
    of_both = [
        Store(f"{root}/run/model").read_json("metadata.json")["weights_sha256"] for root in (run.root, reference.root)
    ]
    assert of_both[0] == of_both[1]


def test_data_node_lost(on_standalone: Submitter, hdfs: Hdfs, nih: str, reference: Run) -> None:
    lost = hdfs.data_nodes[0]
    lost.stop(9)
    try:
        run = Run(on_standalone, nih, f"{hdfs.uri}/lost-node")
        run.prepare().ok()
        check_prepared(run, reference)
    finally:
        lost.start()


def test_driver_lost_before_the_commit(on_standalone: Submitter, nih: str, hdfs: Hdfs, reference: Run) -> None:
    run = Run(on_standalone, nih, f"{hdfs.uri}/lost-driver")
    job = on_standalone.start("prepare", *prepare_options(run))
    _when_tasks_run(job, f"{run.root}/prepared", "data")
    kill(job)
    finish(job)
    assert not Store(f"{run.root}/prepared").exists("manifest.json")
    run.prepare().ok()
    check_prepared(run, reference)


def test_two_submissions_onto_one_output(on_standalone: Submitter, nih: str, hdfs: Hdfs, reference: Run) -> None:
    run = Run(on_standalone.with_conf({"spark.cores.max": "2"}), nih, f"{hdfs.uri}/twice")
    jobs = [run.submitter.start("prepare", *prepare_options(run)) for _ in range(2)]
    ended = sorted((finish(job) for job in jobs), key=lambda outcome: outcome.status)
    assert ended[0].status == 0
    # The second one is refused while the first is at work, or finds the work done.
    assert ended[1].status in (0, 2)
    if ended[1].status == 2:
        ended[1].says("is in use by 'prepare'")
    else:
        assert "nothing to do" in ended[0].output + ended[1].output
    check_prepared(run, reference)


def test_full_disk_on_a_worker(
    on_standalone: Submitter, standalone: Standalone, network: Network, nih: str, hdfs: Hdfs, reference: Run
) -> None:
    with standalone.full_disk(network.hosts[0]):
        run = Run(on_standalone, nih, f"{hdfs.uri}/full-disk")
        run.prepare().ok()  # needs no local disk
        check_prepared(run, reference)
        options = ["--workers", 2, "--set", "train.max_restarts=0"]
        ended = run.train("run", *options)
    assert ended.status == 4
    ended.says("cannot set", "spark.local.dir")


def test_nightly_scoring_killed_half_way(on_standalone: Submitter, nih: str, hdfs: Hdfs, reference: Run) -> None:
    out = f"{hdfs.uri}/nightly"
    given = ["--images", nih, "--model", f"{reference.root}/run/model", "--out", out, "--incremental"]
    job = on_standalone.start("score", *given)
    _when_tasks_run(job, out, "_staged")
    kill(job)
    finish(job)
    assert table(out) == []
    on_standalone.run("score", *given).ok()
    once = table(out)
    assert set(Counter(name for name, _ in once).values()) == {1}
    assert len(once) == reference.json("prepared/manifest.json")["images_found"]
    on_standalone.run("score", *given).ok()
    assert table(out) == once
    assert leftovers(out) == []
