"""What training refuses before its ranks start, told by Spark's settings alone."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from cxr_spark.config import TrainSettings
from cxr_spark.errors import CxrError, DataError, DivergedError, RunError, StorageAwayError, UsageError
from cxr_spark.storage.store import Store
from cxr_spark.training.driver import launch
from cxr_spark.training.driver.cluster import check_places_again, check_settings, most_tasks
from cxr_spark.training.rank.failure import FAILURE, refuse_to_repeat, report_failure


@pytest.mark.parametrize(
    ("conf", "workers", "says"),
    [
        ({"spark.dynamicAllocation.enabled": "TRUE"}, 1, "spark.dynamicAllocation.enabled=false"),
        ({"spark.cores.max": "8", "spark.task.cpus": "4"}, 3, "places for 2 ranks, each of 4 core(s)"),
        ({"spark.executor.instances": "2", "spark.executor.cores": "3", "spark.task.cpus": "2"}, 3, "places for 2"),
        ({"spark.task.resource.gpu.amount": "0.5"}, 1, "spark.task.resource.gpu.amount=1"),
        ({"spark.task.resource.gpu.amount": "2"}, 1, "one GPU"),
        ({"spark.task.resource.gpu.amount": "1", "spark.cores.max": "1"}, 2, "and a GPU"),
    ],
)
def test_refused(conf, workers, says):
    with pytest.raises(UsageError) as error:
        check_settings(conf, TrainSettings(workers=workers))
    assert says in str(error.value)


def test_threads_are_the_cores_of_a_task():
    with pytest.raises(UsageError, match=r"spark\.task\.cpus=4"):
        check_settings({"spark.task.cpus": "1"}, TrainSettings(threads_per_worker=4))
    check_settings({"spark.task.cpus": "4"}, TrainSettings(threads_per_worker=4))


@pytest.mark.parametrize(
    ("conf", "most"),
    [
        ({}, None),
        ({"spark.executor.instances": "4"}, None),  # how many cores each has, the cluster decides
        ({"spark.executor.instances": "4", "spark.executor.cores": "5", "spark.task.cpus": "2"}, 8),
        ({"spark.cores.max": "6", "spark.executor.instances": "4", "spark.executor.cores": "4"}, 6),
    ],
)
def test_most_tasks(conf, most):
    assert most_tasks(conf) == most


class Cluster:
    """A session on a cluster that has so many places, one more at each look."""

    def __init__(self, places: int, master: str = "spark://master:7077") -> None:
        manager = SimpleNamespace(defaultResourceProfile=lambda: "profile")
        context = SimpleNamespace(resourceProfileManager=lambda: manager, maxNumConcurrentTasks=self._look)
        self.sparkContext = SimpleNamespace(master=master, _jsc=SimpleNamespace(sc=lambda: context))
        self._places = places

    def _look(self, profile: str) -> int:
        assert profile == "profile"
        self._places += 1
        return self._places - 1


def test_after_a_death_places_are_waited_for():
    check_places_again(Cluster(1), TrainSettings(workers=2, start_timeout=30))
    check_places_again(Cluster(0, "local[1]"), TrainSettings(workers=2, start_timeout=0.1))
    with pytest.raises(RunError, match=r"places for \d of 9: .*run the same command again"):
        check_places_again(Cluster(1), TrainSettings(workers=9, start_timeout=0.1))


def test_only_errors_that_may_pass_are_repeated(tmp_path):
    store = Store(str(tmp_path))
    refuse_to_repeat(store)
    report_failure(store, OSError("a network that hiccups"))
    refuse_to_repeat(store)
    store.delete(FAILURE)
    report_failure(store, UsageError("no such thing"))
    with pytest.raises(CxrError, match="no such thing"):
        refuse_to_repeat(store)


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (RuntimeError("[gloo] Connection closed by peer"), True),
        (MemoryError(), True),
        (TimeoutError(), True),
        (RunError("a rank is gone"), True),
        (StorageAwayError("HDFS is away"), True),
        (ValueError("Expected more than 1 value per channel when training"), False),
        (KeyError("x"), False),
        (NotImplementedError(), False),
        (DivergedError("not finite"), False),
        (DataError("labels"), False),
    ],
)
def test_what_a_repetition_would_only_meet_again_is_not_repeated(tmp_path, monkeypatch, error, passes):
    """Neither by Spark, which runs a failed stage again, nor by the driver."""
    spec = SimpleNamespace(checkpoints=Store(str(tmp_path)), train=TrainSettings(max_restarts=2))
    starts = []

    def ranks(*_):
        starts.append(1)
        report_failure(spec.checkpoints, error)
        raise RunError("rank 0 of 1 ended with exit status 1")

    monkeypatch.setattr(launch, "_run_ranks", ranks)
    with pytest.raises(CxrError):
        launch.launch(Cluster(1, "local[1]"), spec)
    assert len(starts) == (3 if passes else 1)
    if passes:
        refuse_to_repeat(spec.checkpoints)
    else:
        with pytest.raises(CxrError):
            refuse_to_repeat(spec.checkpoints)
