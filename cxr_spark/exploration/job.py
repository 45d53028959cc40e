"""The explore job on the driver: count, draw, and write the page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from cxr_spark.config import ExploreSettings, Settings
from cxr_spark.exploration.computation import explore, write
from cxr_spark.exploration.pictures import pictures_of
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
        settings: what the page shows.
        data: output of the prepare job.
        out: folder of explore.json, explore.html and the plots.
    """

    name: ClassVar[str] = "explore"
    result: ClassVar[type[JobResult]] = ExploreResult
    settings: ExploreSettings
    data: str
    out: str

    @classmethod
    def from_options(cls, settings: Settings, *, data: str, out: str, **options: Any) -> ExploreJob:
        """Returns the job that options ask for; further ones are named as the setting of `explore` that they replace.

        Args:
            settings: in force without the options.
            data: output of the prepare job.
            out: the output folder.
            options: options that replace settings of `explore`, by their names.

        Raises:
            ConfigError: an option is out of range.
        """
        changed = settings.updated({f"explore.{name}": value for name, value in options.items()})
        return cls(changed.explore, data, out)

    def inputs(self) -> Mapping[str, Input]:
        """Returns the prepared data."""
        return {"--data": Input.of(self.data)}

    def read_inputs(self, run: JobRun) -> ReadyJob[ExploreResult]:
        """Opens the prepared data."""
        uri = run.needed_uri("--data")
        dataset = PreparedDataset.open(uri)

        def produce(claimed: Claim) -> ExploreResult:
            exploration = explore(run.spark, dataset)
            shown = pictures_of(exploration.facts, dataset) if self.settings.pictures == "show" else None
            write(claimed.store, exploration, shown)
            facts: dict[str, Any] = exploration.facts
            return ExploreResult(
                out=claimed.store.uri,
                report=claimed.store.uri_of("explore.html"),
                images={name: split["images"] for name, split in facts["splits"].items()},
                patients=facts["n_patients"],
                evenness=facts["information"]["evenness"],
            )

        asked = self.settings.model_dump(mode="json", exclude=self.settings.at_default("pictures"))
        return ReadyJob({"data": uri, "manifest": digest(dataset.manifest), **asked}, produce)
