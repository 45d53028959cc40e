"""The benchmark job: it runs the other jobs on a synthetic set, and plain loops beside them, on this machine."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from cxr_spark.benchmark.measure import benchmark
from cxr_spark.errors import UsageError
from cxr_spark.outputs.claim import Claim
from cxr_spark.outputs.job import Execution, Input, Job, JobRun, ReadyJob
from cxr_spark.outputs.results import JobResult

RESULT_NAME = "benchmark.json"
_LEAST = {"images": 64, "size": 64, "input_size": 32, "batch": 1}


class BenchmarkResult(JobResult):
    """The result of the benchmark job.

    Attributes:
        steps: the images per second of prepare, train and score through Spark and in a bare loop, and their ratio.
        machine: the machine and the versions of the packages.
    """

    steps: dict[str, dict[str, float]]
    machine: dict[str, Any]


@dataclass(frozen=True)
class BenchmarkJob(Job[BenchmarkResult]):
    """Measures the images per second of prepare, train and score on this machine, beside a bare loop.

    Attributes:
        out: folder of the result.
        images: synthetic images to work on.
        size: side of those images, in pixels.
        input_size: side of prepared images and of the network's input, in pixels.
        batch: images per step and per forward pass.
        seed: seed of the images and of the training.
        jobs: where and how the measured jobs are run.

    Raises:
        UsageError: a number is too small.
    """

    name: ClassVar[str] = "benchmark"
    result: ClassVar[type[JobResult]] = BenchmarkResult
    needs_cluster_output: ClassVar[bool] = False
    out: str
    images: int = 512
    size: int = 1024
    input_size: int = 224
    batch: int = 16
    seed: int = 42
    jobs: Execution = field(default_factory=Execution)

    def __post_init__(self) -> None:
        """Checks the numbers."""
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if value < least:
                raise UsageError(f"--{name.replace('_', '-')} {value} is too small: expected {least} or more")

    def inputs(self) -> Mapping[str, Input]:
        """Returns no inputs: the job makes its images itself."""
        return {}

    def read_inputs(self, run: JobRun) -> ReadyJob[BenchmarkResult]:
        """Plans to measure in a temporary folder."""
        numbers = {name: getattr(self, name) for name in (*_LEAST, "seed")}

        def produce(claimed: Claim) -> BenchmarkResult:
            with tempfile.TemporaryDirectory(prefix="cxr-benchmark-") as folder:
                measured = benchmark(Path(folder), self.jobs, **numbers)
            claimed.store.write_json(RESULT_NAME, measured)
            return BenchmarkResult(out=claimed.store.uri, **measured)

        return ReadyJob(numbers, produce)
