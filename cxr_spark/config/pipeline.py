"""Settings of the pipeline."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from cxr_spark.config.section import Section, as_text

Step = Literal["prepare", "explore", "train", "score", "evaluate", "explain"]


class PipelineSettings(Section):
    """Which jobs a pipeline runs, and where it writes."""

    out: str | None = Field(
        None, description="folder of all outputs; each job gets a folder in it: prepared, run, scores, evaluation ..."
    )
    steps: tuple[Step, ...] = Field(
        ("prepare", "train", "score", "evaluate"),
        description="the jobs in their order; explore and explain may be among them",
        min_length=1,
    )
    spark: dict[Literal["all"] | Step, dict[str, Annotated[str, BeforeValidator(as_text)]]] = Field(
        {}, description="Spark settings of all jobs, and of single jobs, such as {train: {spark.task.cpus: '8'}}"
    )
