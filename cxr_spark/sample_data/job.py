"""The sample-data job: a synthetic set in NIH's own layout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from cxr_spark.errors import UsageError
from cxr_spark.outputs.claim import Claim
from cxr_spark.outputs.job import Input, Job, JobRun, ReadyJob
from cxr_spark.outputs.results import JobResult
from cxr_spark.sample_data.drawing import MARK_WIDTH
from cxr_spark.sample_data.writer import LABELS_NAME, TEST_LIST_NAME, TRAIN_LIST_NAME, write_sample_data

MIN_IMAGES, MAX_IMAGES = 3, 1_000_000
MIN_SIZE, MAX_SIZE = MARK_WIDTH, 2048


class SampleDataResult(JobResult):
    """The result of the sample-data job, beside the numbers of images, patients and findings.

    Attributes:
        labels: full URI of the label file.
        train_list: full URI of the list of training images.
        test_list: full URI of the list of test images.
    """

    labels: str
    train_list: str
    test_list: str


@dataclass(frozen=True)
class SampleDataJob(Job[SampleDataResult]):
    """Makes a synthetic chest X-ray set in NIH's own layout, to try everything else with.

    Attributes:
        out: folder for the set.
        images: how many images.
        size: side of the images, in pixels.
        seed: seed of all that is drawn.

    Raises:
        UsageError: a number is out of range.
    """

    name: ClassVar[str] = "sample-data"
    result: ClassVar[type[JobResult]] = SampleDataResult
    needs_cluster_output: ClassVar[bool] = False
    out: str
    images: int = 600
    size: int = 128
    seed: int = 42

    def __post_init__(self) -> None:
        """Checks the numbers."""
        _within("--images", self.images, MIN_IMAGES, MAX_IMAGES)
        _within("--size", self.size, MIN_SIZE, MAX_SIZE)
        _within("--seed", self.seed, 0, 2**63 - 1)

    def inputs(self) -> Mapping[str, Input]:
        """Returns nothing: all is drawn."""
        return {}

    def read_inputs(self, run: JobRun) -> ReadyJob[SampleDataResult]:
        """Plans to draw all images, without Spark."""

        def produce(claimed: Claim) -> SampleDataResult:
            claimed.clear()  # what a killed run left may be of other options
            store = claimed.store
            facts: dict[str, Any] = write_sample_data(store, self.images, self.size, self.seed, claimed.note)
            facts |= {
                "labels": store.uri_of(LABELS_NAME),
                "train_list": store.uri_of(TRAIN_LIST_NAME),
                "test_list": store.uri_of(TEST_LIST_NAME),
            }
            return SampleDataResult(**{**facts, "out": store.uri})

        return ReadyJob({"images": self.images, "size": self.size, "seed": self.seed}, produce)


def _within(option: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise UsageError(f"{option} {value}: expected {low} to {high}")
