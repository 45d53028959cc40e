"""Jobs as users start them on a cluster: by spark-submit, in a process of their own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil

from tests.cluster.support.network import Host
from tests.cluster.support.processes import wait_for
from tests.conftest import ROOT

#: Seconds that a job may take, and that a test waits for what a job does; the machine may be busy.
JOB_TIMEOUT = 900.0


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
        assert self.status == 0, f"exit status {self.status}\n{self.last_words()}"
        return self

    def fails(self, status: int) -> Outcome:
        """Fails the test, with the job's last words, unless the job ended with a status."""
        assert self.status == status, f"exit status {self.status}, not {status}\n{self.last_words()}"
        return self

    def says(self, *texts: str) -> None:
        """Fails the test, with the job's last words, unless all the texts are in them."""
        missing = [text for text in texts if text not in self.output + self.log]
        assert not missing, f"{missing} not in\n{self.last_words()}"

    def last_words(self) -> str:
        return f"{self.log[-6000:]}\n{self.output[-6000:]}"


class Job:
    """A job at work, in a process group of its own.

    What it says goes to files: a pipe that nobody reads would stop it when it is full.

    Args:
        command: its command line.
        folder: where it is started.
        environment: all of its environment variables.
    """

    def __init__(self, command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
        said = Path(tempfile.mkdtemp(prefix="job-", dir=folder))
        self._output, self._log = said / "output", said / "log"
        with self._output.open("wb") as output, self._log.open("wb") as log:
            self._process = subprocess.Popen(
                list(command), cwd=folder, env=dict(environment), stdin=subprocess.DEVNULL, stdout=output, stderr=log,
                start_new_session=True,
            )  # fmt: skip

    def finish(self) -> Outcome:
        """Waits for its end."""
        try:
            self._process.wait(JOB_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(
                f"the job did not end in {JOB_TIMEOUT:.0f} s\n{self._outcome().last_words()}"
            ) from None
        except BaseException:  # whoever runs the tests has seen enough
            self.kill()
            raise
        return self._outcome()

    def kill(self) -> None:
        """Kills all its processes on this machine, as a lost host would."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def wait_until(self, check: Callable[[], object], what: str) -> object:
        """Waits for something that the job does, and returns what the check gave; the job must be at work still."""

        def look() -> object:
            found = check()
            if not found and self._process.poll() is not None:
                raise AssertionError(f"the job ended before there was a {what}\n{self._outcome().last_words()}")
            return found

        return wait_for(look, what, JOB_TIMEOUT)

    def driver(self) -> psutil.Process:
        """Returns the Python of the job's driver."""

        def running() -> list[psutil.Process]:
            found = psutil.Process(self._process.pid).children(recursive=True)
            return [process for process in found if process.name().startswith("python")]

        found = self.wait_until(running, "driver")
        assert isinstance(found, list)
        return found[0]

    def _outcome(self) -> Outcome:
        texts = (path.read_text(errors="replace") for path in (self._output, self._log))
        return Outcome(self._process.returncode, *texts)


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

    def without_conf(self, *keys: str) -> Submitter:
        """Returns a submitter without some settings."""
        return replace(self, conf={key: value for key, value in self.conf.items() if key not in keys})

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

    def start(self, job: str, *options: object) -> Job:
        """Starts a job."""
        return Job(self.command(job, options), self.folder, self.variables())

    def run(self, job: str, *options: object) -> Outcome:
        """Runs a job to its end."""
        return self.start(job, *options).finish()
