"""Jobs as users start them on a cluster: by spark-submit, in a process of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.cluster.support.network import Host
from tests.conftest import ROOT

#: Seconds that a job may take; the machine may be busy.
JOB_TIMEOUT = 1500


@dataclass(frozen=True)
class Outcome:
    """How a job ended.

    Attributes:
        status: exit status.
        output: what it printed; spark-submit puts standard error of a job's Python here, too.
        log: what spark-submit itself said.
    """

    status: int
    output: str
    log: str

    def ok(self) -> Outcome:
        """Fails the test, with the job's last words, unless the job went well."""
        assert self.status == 0, f"exit status {self.status}\n{self.log[-6000:]}\n{self.output[-6000:]}"
        return self

    def says(self, *texts: str) -> None:
        """Fails the test, with the job's last words, unless all the texts are in them."""
        missing = [text for text in texts if text not in self.output + self.log]
        assert not missing, f"{missing} not in\n{self.log[-3000:]}\n{self.output[-4000:]}"


@dataclass(frozen=True)
class Submitter:
    """What all submissions to one cluster have in common.

    Attributes:
        master: Spark master URL.
        head: where drivers run.
        conf: Spark settings.
        environment: variables, beside the test's own.
        options: other options of spark-submit.
        folder: where it is started.
    """

    master: str
    head: Host
    folder: Path
    conf: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    options: tuple[str, ...] = ()

    def with_conf(self, conf: Mapping[str, str]) -> Submitter:
        """Returns a submitter with more settings."""
        return replace(self, conf={**self.conf, **conf})

    def with_environment(self, **variables: str) -> Submitter:
        """Returns a submitter with more environment variables."""
        return replace(self, environment={**self.environment, **variables})

    def command(self, job: str, options: Sequence[object]) -> list[str]:
        """Returns the command line of a job."""
        submit = str(Path(sys.executable).with_name("spark-submit"))
        conf = [part for key, value in self.conf.items() for part in ("--conf", f"{key}={value}")]
        script = str(ROOT / "jobs" / f"{job.replace('-', '_')}.py")
        line = [submit, "--master", self.master, *conf, *self.options, script, *map(str, options)]
        return self.head.command(*line)

    def variables(self) -> dict[str, str]:
        """Returns the environment of a submission."""
        found = {**os.environ, "PYSPARK_PYTHON": sys.executable, "PYSPARK_DRIVER_PYTHON": sys.executable}
        return {**found, **self.environment}

    def start(self, job: str, *options: object) -> subprocess.Popen[str]:
        """Starts a job, in a process group of its own."""
        return subprocess.Popen(
            self.command(job, options), cwd=self.folder, env=self.variables(), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip

    def run(self, job: str, *options: object) -> Outcome:
        """Runs a job to its end."""
        return finish(self.start(job, *options))


def finish(process: subprocess.Popen[str]) -> Outcome:
    """Waits for a job that was started."""
    try:
        output, log = process.communicate(timeout=JOB_TIMEOUT)
    except subprocess.TimeoutExpired:
        kill(process)
        output, log = process.communicate()
        raise AssertionError(f"the job did not end in {JOB_TIMEOUT} s\n{log[-6000:]}") from None
    return Outcome(process.returncode, output, log)


def kill(process: subprocess.Popen[str]) -> None:
    """Kills a job with all its processes on this machine, as a lost host would."""
    os.killpg(process.pid, 9)
