"""Pipelines and jobs as processes: what they print, how signals end them, what a second run costs, spark-submit."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from cxr_spark.sample_data.writer import write_sample_data
from cxr_spark.storage.store import Store

ROOT = Path(__file__).resolve().parents[2]
LOG_LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (INFO|WARNING) cxr_spark\S*: .*")
MARK = "CXR_SPARK_TEST_MARK"


class Machine:
    """A folder with a small image set and a pipeline's settings, and the processes that were started on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.mark = uuid.uuid4().hex
        write_sample_data(Store(str(folder / "images")), 12, 64, 1)
        (folder / "pipeline.yaml").write_text(
            "prepare: {images: images, labels: images/Data_Entry_2017.csv, split: patient, size: 32}\n"
            "pipeline: {out: out, steps: [prepare], spark: {all: {spark.driver.memory: 1g}}}\n"
        )

    def start(self, *command: str, **variables: str) -> subprocess.Popen[str]:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), MARK: self.mark, **variables}
        return subprocess.Popen(
            command, cwd=self.folder, env=environment, text=True, start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def start_pipeline(self, *options: str, **variables: str) -> subprocess.Popen[str]:
        command = (
            sys.executable,
            "-m",
            "cxr_spark.commands.main",
            "pipeline",
            "--config",
            "pipeline.yaml",
            "--master",
            "local[2]",
        )
        return self.start(*command, *options, **variables)

    def processes(self) -> list[psutil.Process]:
        """All living processes that descend from what was started here, orphans too."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get(MARK) == self.mark and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def has_jvm(self) -> bool:
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):  # it ended meanwhile
                if "java" in process.name():
                    return True
        return False


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(tmp_path)
    yield machine
    for process in machine.processes():
        process.kill()


def wait_for(condition: Callable[[], object], seconds: float = 240) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.1)


def test_a_run_prints_its_own_lines_and_a_second_one_needs_no_java(machine: Machine) -> None:
    out, err = machine.start_pipeline().communicate()
    assert json.loads(out)["prepare"]["prepared"] == 12
    # Java itself says that Spark 4 uses a module of it that is not finished.
    lines = [line for line in err.splitlines() if not line.startswith("WARNING: Using incubator modules")]
    strange = [line for line in lines if not LOG_LINE.fullmatch(line)]
    # The job's own summary is shown too, as it would be without the pipeline.
    assert json.loads("\n".join(strange))["prepared"] == 12
    assert "job=pipeline exit_status=0" in err.splitlines()[-1]

    java = machine.folder / "jdk" / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text(f"#!/bin/sh\ntouch {machine.folder}/java-was-started\nexit 1\n")
    java.chmod(0o755)
    again = machine.start_pipeline(JAVA_HOME=str(java.parent.parent))
    out, err = again.communicate()
    assert again.returncode == 0, err
    assert json.loads(out)["prepare"]["prepared"] == 12
    assert "finished before, nothing to do" in err
    assert not (machine.folder / "java-was-started").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_pipeline_that_is_ended_leaves_no_orphans_and_goes_on(machine: Machine, number: signal.Signals) -> None:
    out = machine.folder / "out" / "prepared"
    # Tasks that take long, so that the job is surely at work.
    slow = "import time; time.sleep(5)\n"
    (machine.folder / "sitecustomize.py").write_text(slow)
    workers = f"{machine.folder}{os.pathsep}{ROOT}"
    pipeline = machine.start_pipeline(PYTHONPATH=workers)
    wait_for(lambda: (out / "_lock.json").exists() and machine.has_jvm())
    pipeline.send_signal(number)
    _, err = pipeline.communicate()
    wait_for(lambda: not machine.processes(), 60)
    if number == signal.SIGTERM:
        assert pipeline.returncode == 4
        assert "cxr-spark prepare: terminated" in err
        assert "cxr-spark pipeline: terminated" in err
        assert json.loads((out / "_status.json").read_text())["exit_status"] == 4
    assert not (out / "_done.json").exists()
    again = machine.start_pipeline()
    _, err = again.communicate()
    assert again.returncode == 0, err
    assert (out / "_done.json").exists()


def test_spark_submit(machine: Machine) -> None:
    submit = str(Path(sys.executable).with_name("spark-submit"))
    job = str(ROOT / "jobs" / "prepare.py")
    options = (
        "--images", "images", "--labels", "images/Data_Entry_2017.csv", "--split", "patient", "--size", "32",
        "--out", "o",
    )  # fmt: skip
    python = {"PYSPARK_PYTHON": sys.executable, "PYSPARK_DRIVER_PYTHON": sys.executable}
    late = machine.start(submit, "--master", "local[1]", job, *options, "--spark", "spark.executor.memory=2g", **python)
    out, _ = late.communicate()  # spark-submit makes one stream of the two of a Python program
    assert late.returncode == 2
    assert "comes too late under spark-submit: give it as `--conf spark.executor.memory=2g` there" in out
    # It failed before it held its output; the scheduler finds the status there all the same.
    assert json.loads((machine.folder / "o" / "_status.json").read_text())["exit_status"] == 2
    done = machine.start(submit, "--master", "local[2]", job, *options, **python)
    out, err = done.communicate()
    assert done.returncode == 0, out + err
    summary, _ = json.JSONDecoder().raw_decode(out[out.index("{\n") :])
    assert summary["prepared"] == 12
    assert "job=prepare exit_status=0" in out
    assert json.loads((machine.folder / "o" / "_status.json").read_text())["exit_status"] == 0


def test_spark_submit_with_the_file_of_settings_logs_as_the_file_beside_it_says(machine: Machine) -> None:
    """`conf/spark/local.conf` names `conf/spark/log4j2.properties` as it lies in a checkout."""
    submit, images = str(Path(sys.executable).with_name("spark-submit")), machine.folder / "images"
    job = (
        "jobs/prepare.py",
        "--images",
        str(images),
        "--labels",
        f"{images}/Data_Entry_2017.csv",
        "--split",
        "patient",
    )
    obsolete = ("--conf", "spark.rpc.numRetries=3")  # Spark warns of it
    command = [submit, "--properties-file", "conf/spark/local.conf", "--master", "local[2]", *obsolete, *job]
    python = {"PYSPARK_PYTHON": sys.executable, "PYSPARK_DRIVER_PYTHON": sys.executable, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*command, "--size", "32", "--out", str(machine.folder / "o")],
        cwd=ROOT, env={**os.environ, **python}, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    form = r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} WARN SparkConf: The configuration key 'spark.rpc.numRetries'"
    assert re.search(form, done.stdout, re.MULTILINE)
    assert "default log4j profile" not in done.stdout
    assert not re.search(r" INFO (?!cxr_spark)", done.stdout)
