"""The BigDL backend as users start it: by the command, by spark-submit, killed, and on more than one executor."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pyspark
import pytest

from cxr_spark.bigdl.engine.installation import check_installation, jars
from cxr_spark.commands.main import main
from cxr_spark.errors import UsageError
from tests.conftest import ROOT
from tests.support.prepared_sets import write_prepared

SPARK_HOME = Path(pyspark.__file__).parent
SMALL = ("model.architecture=googlenet", "model.input_size=48", "model.freeze=backbone", "train.global_batch=8")
OPTION = "-Dbigdl.engineType=mklblas"


@pytest.fixture(scope="module", autouse=True)
def _installed() -> None:
    try:
        check_installation()
    except UsageError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_prepared(tmp_path_factory.mktemp("data") / "prepared", {"train": 16, "val": 6, "test": 6}, size=48)


def options(data: Path, out: Path, epochs: int) -> list[str]:
    overrides = [text for one in (*SMALL, f"train.epochs={epochs}") for text in ("--set", one)]
    return ["--backend", "bigdl", "--data", str(data), "--out", str(out), *overrides]


def submit(master: str, arguments: list[str], *spark: str) -> subprocess.CompletedProcess[str]:
    command = [str(SPARK_HOME / "bin" / "spark-submit"), "--master", master, "--driver-memory", "2g", *spark]
    environment = {**os.environ, "PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"}
    return subprocess.run(
        [*command, str(ROOT / "jobs" / "train.py"), *arguments], capture_output=True, text=True, env=environment
    )


def history(out: Path) -> list[dict[str, float]]:
    try:
        found: list[dict[str, float]] = json.loads((out / "history.json").read_text())
    except (FileNotFoundError, ValueError):
        return []
    return found


def test_bigdl_jars_are_named_for_spark_submit(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bigdl-jars"]) == 0
    printed = capsys.readouterr().out
    assert printed == ",".join(map(str, jars())) + "\n"
    assert all(Path(name).is_file() for name in printed.strip().split(","))


def test_spark_submit_without_the_jars_is_told_the_flags(data: Path, tmp_path: Path) -> None:
    done = submit("local[1]", options(data, tmp_path / "run", 1))
    assert done.returncode == 2
    told = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("cxr-spark train:")]
    assert len(told) == 1
    assert f"--jars $(cxr-spark bigdl-jars) --driver-java-options '-XX:+ExitOnOutOfMemoryError {OPTION}' " in told[0]
    assert f"--conf spark.executor.extraJavaOptions={OPTION}" in told[0]


@pytest.fixture(scope="module")
def standalone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Spark standalone cluster of one worker with two cores, on this host's loopback interface."""
    folder = tmp_path_factory.mktemp("standalone")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"spark://127.0.0.1:{port}"
    common = {"SPARK_HOME": str(SPARK_HOME), "SPARK_LOCAL_IP": "127.0.0.1", "SPARK_DAEMON_MEMORY": "192m"}
    environment = {**os.environ, **common, "SPARK_WORKER_DIR": str(folder), "PYSPARK_PYTHON": sys.executable}
    started = []
    for name, arguments in {
        "master.Master": ["--host", "127.0.0.1", "--port", str(port), "--webui-port", "0"],
        "worker.Worker": ["--host", "127.0.0.1", "--cores", "2", "--memory", "4g", "--webui-port", "0", url],
    }.items():
        command = [str(SPARK_HOME / "bin" / "spark-class"), f"org.apache.spark.deploy.{name}", *arguments]
        with (folder / f"{name}.log").open("w") as log:
            started.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))
    yield url
    for server in reversed(started):
        server.terminate()
        server.wait(60)


def telling_lines(log: str) -> str:
    """What a failure is seen from: the package's own lines, warnings and errors, without those of Spark's work."""
    kept = [line for line in log.splitlines() if " INFO " not in line or "cxr_spark" in line]
    return "\n".join(kept)[-8000:]


def test_two_executors_by_spark_submit(data: Path, tmp_path: Path, standalone: str, spark: object) -> None:
    flags = ["--jars", ",".join(map(str, jars())), "--driver-java-options", OPTION]
    settings = {
        "spark.executor.extraJavaOptions": OPTION,
        "spark.executor.memory": "2g",
        "spark.executor.cores": "1",
        "spark.cores.max": "2",
        "spark.cxr.sharedLocal": "true",
        "spark.ui.enabled": "false",
    }
    flags += [text for key, value in settings.items() for text in ("--conf", f"{key}={value}")]
    run = tmp_path / "run"
    done = submit(standalone, options(data, run, 2), *flags)
    assert done.returncode == 0, telling_lines(done.stdout + done.stderr)
    assert "on 2 executors of 1 cores" in done.stdout + done.stderr
    assert [entry["epoch"] for entry in history(run)] == [1, 2]
    # The model is one as torch makes it: the one scorer takes it.
    score = ["score", "--data", str(data), "--model", str(run / "model"), "--out", str(tmp_path / "scores")]
    assert main(score) == 0


def test_a_killed_training_goes_on(data: Path, tmp_path: Path) -> None:
    run, log = tmp_path / "run", tmp_path / "log"
    command = [sys.executable, "-m", "cxr_spark.commands.main", "train", "--master", "local[1]"]
    command += ["--spark", "spark.driver.memory=2g", *options(data, run, 3)]
    with log.open("w") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=stream, start_new_session=True)
    deadline = time.monotonic() + 400
    while not history(run) and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    before = history(run)
    assert 1 <= len(before) < 3, log.read_text()[-3000:]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert history(run)[: len(before)] == before
    assert [entry["epoch"] for entry in history(run)] == [1, 2, 3]
    assert json.loads(done.stdout)["model"].endswith("run/model")  # nothing but the summary
