"""Settings of the pipeline."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from cxr_spark.config.section import Section, as_text

Step = Literal["prepare", "explore", "train", "score", "evaluate", "explain"]


class PipelineSettings(Section):
    """Which jobs run, and where their outputs go."""

    out: str | None = Field(
        None, description="folder for the outputs of all jobs: prepared, run, scores, evaluation ..."
    )
    steps: tuple[Step, ...] = Field(
        ("prepare", "train", "score", "evaluate"),
        description="jobs in order; explore and explain are there, too",
        min_length=1,
    )
    spark: dict[Literal["all"] | Step, dict[str, Annotated[str, BeforeValidator(as_text)]]] = Field(
        {}, description="Spark settings of all jobs, and of single ones, such as {train: {spark.task.cpus: '8'}}"
    )
