"""How every job runs: its application, the check of its folders, the claim, the mark of finished work and the status.

A job says what it reads, what decides its result, and how it makes that. `run_job` does the rest in one way for all:

1. paths become full URIs, and inputs that overlap with the output are refused;
2. the job reads its inputs and tells the fingerprint of its result (`Job.read_inputs`);
3. work that is finished already is recognised, and its result returned;
4. otherwise the output folder is locked, the work done, and marked as finished;
5. `_status.json` in the output folder tells how the run ended, well or not.

Nothing here ends the process: errors are raised, those of Spark as the errors of `cxr_spark.errors`.
"""

from __future__ import annotations

import time
from typing import cast

from cxr_spark.outputs.claim import claim, finished_before
from cxr_spark.outputs.job import Execution, Job, JobRun, Result
from cxr_spark.outputs.overlap import OverlapError, config_inputs, refuse_overlap
from cxr_spark.outputs.results import finished_result
from cxr_spark.outputs.run_status import as_own_error, leave_status, tell, uri_without_spark
from cxr_spark.runtime.application import Application
from cxr_spark.runtime.processes import note_interrupts
from cxr_spark.storage.store import Store


def run_job(job: Job[Result], asked: Execution | None = None) -> Result:
    """Runs a job to its end, or finds that its work is finished already.

    Args:
        job: the job.
        asked: where and how; by default with Spark's and this package's defaults.

    Returns:
        The job's result.

    Raises:
        CxrError: the job failed; `exit_status` of the error tells the kind.
        KeyboardInterrupt: it was interrupted. The same call goes on from there.
    """
    asked = asked or Execution()
    started = time.monotonic()
    store: Store | None = None
    try:
        with note_interrupts() as interrupted:
            try:
                run = _open(job, job.execution(asked))
                store = run.store
                inputs = {**run.uris, "--config": config_inputs(asked.config)}
                refuse_overlap(run.store.uri, inputs, run.application.hadoop_settings)
                result = _run(job, run, asked.overwrite)
            except Exception as error:
                signal = interrupted()
                if signal is not None:  # whatever Spark or Java made of it
                    raise signal from error
                raise
    except (Exception, KeyboardInterrupt) as error:
        own = as_own_error(error)
        status, message = tell(own)
        if not isinstance(own, OverlapError):  # then not even the status may be written there
            uri = store.uri if store else uri_without_spark(job.out, asked.conf)
            leave_status(uri, job.name, status, time.monotonic() - started, {}, message)
        if own is error:
            raise
        raise own from error
    leave_status(store.uri, job.name, 0, time.monotonic() - started, result.summary(), None)
    return result


def _open(job: Job[Result], execution: Execution) -> JobRun:
    """Finds out what the paths of a job mean."""
    application = Application(f"cxr-spark {job.name}", execution.master, execution.conf)

    def resolve(path: str, option: str, shared: bool) -> str:
        return application.resolve_shared(path, option) if shared else application.resolve(path)

    store = Store(resolve(job.out, "--out", job.needs_cluster_output))
    uris = {
        option: tuple(resolve(path, option, given.on_executors) for path in given.paths)
        for option, given in job.inputs().items()
    }
    return JobRun(application, store, uris)


def _run(job: Job[Result], run: JobRun, overwrite: bool) -> Result:
    ready = job.read_inputs(run)
    if not overwrite and not job.adds:
        finished = finished_before(run.store, job.name, ready.fingerprint)
        if finished is not None:
            return cast(Result, finished_result(job.result, job.name, run.store.uri, finished))
    ready.check()
    with claim(run.store, job.name, ready.fingerprint, overwrite, ready.extends) as claimed:
        if claimed.finished is not None and not job.adds:  # by another run, meanwhile
            return cast(Result, finished_result(job.result, job.name, run.store.uri, claimed.finished))
        result = ready.produce(claimed)
        claimed.done(result.summary())
    return result
