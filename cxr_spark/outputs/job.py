"""A job: what it reads, what decides its result, and how it makes that. `run_job.py` runs every job in one way."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from cxr_spark.errors import UsageError
from cxr_spark.outputs.claim import Claim, Extends, is_other_work
from cxr_spark.outputs.results import JobResult
from cxr_spark.runtime.application import Application
from cxr_spark.storage.store import Store

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

Result = TypeVar("Result", bound=JobResult)


@dataclass(frozen=True)
class Execution:
    """Where and how a job is run, whichever job it is.

    Attributes:
        master: Spark master URL; None for `local[*]`, or for what spark-submit was told.
        conf: Spark settings.
        overwrite: whether to replace the output of another run of the same job.
        config: URI of the settings file, which may not lie in the output folder; None where there is none.
    """

    master: str | None = None
    conf: Mapping[str, str] = field(default_factory=dict)
    overwrite: bool = False
    config: str | None = None


@dataclass(frozen=True)
class Input:
    """Something that a job reads.

    Attributes:
        paths: the paths as the user wrote them; none where the option was not given.
        on_executors: whether the executors read it, so that every node must reach it.
    """

    paths: tuple[str, ...]
    on_executors: bool = True

    @classmethod
    def of(cls, *paths: str | None, on_executors: bool = True) -> Input:
        """Returns the input of some paths; those that are None were not given."""
        return cls(tuple(path for path in paths if path is not None), on_executors)


@dataclass(frozen=True)
class JobRun:
    """One run of a job, once its paths are known.

    Attributes:
        application: the Spark application; its session starts at the first use.
        store: the output folder.
        uris: the option of each input to its full URIs.
    """

    application: Application
    store: Store
    uris: Mapping[str, tuple[str, ...]]

    @property
    def spark(self) -> SparkSession:
        """The session."""
        return self.application.spark

    def uri(self, option: str) -> str | None:
        """Returns the full URI of an input of one path; None where it was not given."""
        return next(iter(self.uris[option]), None)

    def needed_uri(self, option: str) -> str:
        """Returns the full URI of an input.

        Raises:
            UsageError: it was not given.
        """
        uri = self.uri(option)
        if uri is None:
            raise UsageError(f"{option} is missing: expected the URI of what to read")
        return uri


@dataclass(frozen=True)
class ReadyJob(Generic[Result]):
    """A job that has read its inputs, and has not written anything yet.

    Attributes:
        fingerprint: all that decides the result, as JSON values. Output of the same fingerprint is not made again.
        produce: makes the output in the claimed folder, and returns the result.
        check: makes the checks that need Spark. It is called before the folder is claimed, and not at all where the
            output is there already.
        extends: whether this job goes on from finished output of another fingerprint, which it is given.
    """

    fingerprint: Mapping[str, Any]
    produce: Callable[[Claim], Result]
    check: Callable[[], None] = lambda: None
    extends: Extends = is_other_work


class Job(ABC, Generic[Result]):
    """A job: what it reads, what decides its result, and how it makes that.

    Attributes:
        name: the name of the job's command.
        result: the class of what it returns.
        out: the output folder, as the user wrote it.
        needs_cluster_output: whether executors write to the output folder, so that every node must reach it.
        adds: whether each run adds to what is there, so that finished work is never a reason to do nothing.
    """

    name: ClassVar[str]
    result: ClassVar[type[JobResult]]
    needs_cluster_output: ClassVar[bool] = True
    out: str

    @property
    def adds(self) -> bool:
        """Whether each run adds to what is there; most jobs do not."""
        return False

    def execution(self, asked: Execution) -> Execution:
        """Returns where and how to run: what was asked for, with what this job needs beside it.

        Raises:
            UsageError: the job cannot run like that.
        """
        return asked

    @abstractmethod
    def inputs(self) -> Mapping[str, Input]:
        """Returns all that the job reads, by option. No input may overlap with the output folder."""

    @abstractmethod
    def read_inputs(self, run: JobRun) -> ReadyJob[Result]:
        """Reads what decides the result. Nothing is written yet.

        Raises:
            CxrError: the inputs or settings cannot work.
        """
