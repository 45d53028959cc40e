"""The explore job on the driver: count, draw, and write the page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from cxr_spark.config import Settings
from cxr_spark.exploration.computation import explore, write
from cxr_spark.outputs.claim import Claim, digest
from cxr_spark.outputs.job import Input, Job, JobRun, ReadyJob
from cxr_spark.outputs.results import JobResult
from cxr_spark.tables.prepared import PreparedDataset


class ExploreResult(JobResult):
    """The result of the explore job.

    Attributes:
        report: full URI of the page.
        images: images of each split.
        patients: patients of all splits together; None where they are not known.
        evenness: how evenly the findings are spread over the images, 0 to 1; None where it is not defined.
    """

    report: str
    images: dict[str, int]
    patients: int | None = None
    evenness: float | None = None


@dataclass(frozen=True)
class ExploreJob(Job[ExploreResult]):
    """Shows what is in a prepared dataset: class balance, co-occurrence, patients, ages, views, shapes, grey values.

    Attributes:
        data: output of the prepare job.
        out: folder of explore.json, explore.html and the plots.
    """

    name: ClassVar[str] = "explore"
    result: ClassVar[type[JobResult]] = ExploreResult
    data: str
    out: str

    @classmethod
    def from_options(cls, settings: Settings, *, data: str, out: str) -> ExploreJob:
        """Returns the job that options ask for; no setting changes it."""
        return cls(data, out)

    def inputs(self) -> Mapping[str, Input]:
        """Returns the prepared data."""
        return {"--data": Input.of(self.data)}

    def read_inputs(self, run: JobRun) -> ReadyJob[ExploreResult]:
        """Opens the prepared data."""
        uri = run.needed_uri("--data")
        dataset = PreparedDataset.open(uri)

        def produce(claimed: Claim) -> ExploreResult:
            exploration = explore(run.spark, dataset)
            write(claimed.store, exploration)
            facts: dict[str, Any] = exploration.facts
            return ExploreResult(
                out=claimed.store.uri,
                report=claimed.store.uri_of("explore.html"),
                images={name: split["images"] for name, split in facts["splits"].items()},
                patients=facts["n_patients"],
                evenness=facts["information"]["evenness"],
            )

        return ReadyJob({"data": uri, "manifest": digest(dataset.manifest)}, produce)
