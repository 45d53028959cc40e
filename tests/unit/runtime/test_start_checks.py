"""What Spark could not start with is told before it starts, and why it did not start in one line."""

from __future__ import annotations

import sys
import venv
from pathlib import Path

import pytest

from cxr_spark.errors import RunError, UsageError
from cxr_spark.runtime.start_checks import check_before_start, check_worker_python, not_started

CONF = Path(__file__).parents[3] / "conf" / "spark"
VERSION = "{}.{}".format(*sys.version_info[:2])


@pytest.mark.parametrize(
    ("master", "conf", "environ", "told"),
    [
        ("locall", {}, {}, r"--master 'locall': expected local\[\*\], local\[N\], yarn"),
        ("local[x]", {}, {}, "--master 'local"),
        ("local[*]", {"spark.driver.memory": "lots"}, {}, "spark.driver.memory=lots: expected a number with a unit"),
        (
            "local[*]",
            {"spark.driver.memory": "300m"},
            {},
            "less than 450 MiB, give more: --spark spark.driver.memory=2g",
        ),
        ("local[2]", {}, {"PYSPARK_PYTHON": "/nowhere/python"}, "PYSPARK_PYTHON=/nowhere/python: no such program"),
        ("local", {"spark.pyspark.python": "/no"}, {}, "--spark spark.pyspark.python=/no: no such program"),
    ],
)
def test_what_cannot_work_is_refused_with_value_and_remedy(master, conf, environ, told) -> None:
    with pytest.raises(UsageError, match=told):
        check_before_start(master, conf, environ)


@pytest.mark.parametrize(
    "master",
    ["local", "local[*]", "local[4]", "local[4,2]", "local-cluster[2,1,1024]", "yarn", "spark://h:7077", "k8s://u"],
)
@pytest.mark.parametrize("memory", ["2g", "512m", "900M", "4G", "471859200", "524288k"])
def test_what_spark_takes_passes(master, memory) -> None:
    check_before_start(master, {"spark.driver.memory": memory}, {"PYSPARK_PYTHON": sys.executable})


def test_a_python_of_other_hosts_is_not_looked_for_here() -> None:
    check_before_start("yarn", {"spark.pyspark.python": "./environment/bin/python"}, {})


def python_that_says(folder: Path, words: str) -> str:
    """A program that answers as a Python of another environment does."""
    program = folder / "python3"
    program.write_text(f"#!/bin/sh\n{words}\n")
    program.chmod(0o755)
    return str(program)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("echo 2.7", r"it is Python 2\.7, expected 3\.\d+ as here: leave it out"),
        (f"echo {VERSION} numpy pyarrow", "it has no numpy, no pyarrow, expected a Python with this package: leave it"),
        ("exit 3", "it does not run as a Python .*exit status 3.*: leave it out"),
    ],
)
def test_a_python_that_cannot_run_the_tasks_is_told_before_spark_starts(tmp_path, words, told) -> None:
    python = python_that_says(tmp_path, words)
    with pytest.raises(UsageError, match=f"^PYSPARK_PYTHON={python}: {told}"):
        check_before_start("local[2]", {}, {"PYSPARK_PYTHON": python})
    check_before_start("yarn", {}, {"PYSPARK_PYTHON": python})


def test_a_bare_python_of_this_version_lacks_what_tasks_import(tmp_path) -> None:
    venv.create(tmp_path / "bare", with_pip=False)
    with pytest.raises(UsageError, match=r"the workers use it: it has no numpy, no pandas, no pyarrow, .*: mend it$"):
        check_worker_python(str(tmp_path / "bare" / "bin" / "python"), "the workers use it", "mend it")


class FromSparkError(Exception):
    java_exception = None


def test_why_spark_did_not_start_is_one_line_without_the_trace() -> None:
    trace = (
        "An error occurred while calling None.org.apache.spark.api.java.JavaSparkContext.\n"
        ": org.apache.spark.SparkException: No executor resource configs were specified for the task configs: gpu\n"
        "\tat org.apache.spark.resource.ResourceProfile.x(ResourceProfile.scala:249)\n"
    )
    told = not_started(FromSparkError(trace))
    assert isinstance(told, RunError)
    cause = "No executor resource configs were specified for the task configs: gpu"
    assert str(told) == f"Spark did not start: {cause}; check --master and the settings of --spark"
    assert "JAVA_HOME" in str(not_started(FromSparkError("[JAVA_GATEWAY_EXITED] Java gateway process exited")))
    other = ValueError("of ours")
    assert not_started(other) is other


@pytest.mark.parametrize("name", ["local", "standalone", "yarn", "kubernetes"])
def test_each_file_of_settings_names_the_file_of_the_log(name) -> None:
    lines = [
        line.split(None, 1) for line in (CONF / f"{name}.conf").read_text().splitlines() if line.startswith("spark.")
    ]
    settings = dict(lines)
    options = settings["spark.driver.defaultJavaOptions"].split()
    named = next(option for option in options if option.startswith("-Dlog4j2.configurationFile="))
    path = named.partition("=")[2].removeprefix("file:///opt/cxr-spark/")
    if name == "yarn":
        assert path == Path(settings["spark.files"]).name
        path = settings["spark.files"]
    assert (CONF.parents[1] / path).is_file()
