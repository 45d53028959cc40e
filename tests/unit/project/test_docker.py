"""The image: what its entry point starts on Kubernetes, and what its files say of each other."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pyspark
import pytest
import yaml

from cxr_spark.commands.main import COMMANDS
from cxr_spark.runtime.java import ensure_java
from tests.conftest import ROOT

DOCKER = ROOT / "docker"


@pytest.fixture
def start(tmp_path):
    """Runs the entry point with stand-ins for what it starts, which print how they were called."""
    for name in ("java/bin/java", "spark/bin/spark-submit", "bin/other", "bin/tini"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('#!/usr/bin/env bash\nprintf "%s\\n" "$0" "$@"\n')
        path.chmod(0o755)
    (tmp_path / "bin" / "tini").write_text('#!/usr/bin/env bash\nshift 2\nexec "$@"\n')
    own = {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "JAVA_HOME": f"{tmp_path}/java"}
    own["SPARK_HOME"] = f"{tmp_path}/spark"

    def run(*arguments: str, within: Sequence[str] = (), **variables: str) -> list[str]:
        command = [*within, str(DOCKER / "entrypoint.sh"), *arguments]
        ended = subprocess.run(command, env={**own, **variables}, capture_output=True, text=True, check=True)
        return ended.stdout.splitlines()

    return run


def test_any_command_is_run_as_it_is(start):
    program, *arguments = start("other", "--a", "b c")
    assert Path(program).name == "other"
    assert arguments == ["--a", "b c"]


def test_a_driver_is_submitted_in_its_own_pod(start):
    program, *arguments = start(
        "driver", "--properties-file", "/opt/spark/conf/spark.properties", "--class", "a.B", "local:///x.py",
        SPARK_DRIVER_BIND_ADDRESS="10.1.2.3",
    )  # fmt: skip
    assert program.endswith("/bin/spark-submit")
    assert arguments == [
        "--deploy-mode", "client", "--conf", "spark.driver.bindAddress=10.1.2.3",
        "--properties-file", "/opt/spark/conf/spark.properties", "--class", "a.B", "local:///x.py",
    ]  # fmt: skip


def test_an_executor_finds_its_driver(start, tmp_path):
    variables = {
        "SPARK_DRIVER_URL": "spark://CoarseGrainedScheduler@driver:7078", "SPARK_EXECUTOR_ID": "3",
        "SPARK_EXECUTOR_CORES": "4", "SPARK_EXECUTOR_MEMORY": "2048m", "SPARK_APPLICATION_ID": "spark-1",
        "SPARK_EXECUTOR_POD_IP": "10.1.2.4", "SPARK_RESOURCE_PROFILE_ID": "0", "SPARK_EXECUTOR_POD_NAME": "cxr-exec-3",
        "HADOOP_CONF_DIR": "/opt/hadoop/conf", "SPARK_CONF_DIR": "/opt/spark/conf",
        **{f"SPARK_JAVA_OPT_{i}": f"-Doption{i}=with space" for i in range(12)},
    }  # fmt: skip
    program, *arguments = start("executor", **variables)
    assert program.endswith("/java/bin/java")
    assert arguments[:12] == [f"-Doption{i}=with space" for i in range(12)]
    assert arguments[12:16] == [
        "-Xms2048m", "-Xmx2048m", "-cp", f"/opt/spark/conf:/opt/hadoop/conf:{tmp_path}/spark/jars/*"
    ]  # fmt: skip
    given = dict(zip(arguments[17::2], arguments[18::2], strict=True))
    assert given == {
        "--driver-url": "spark://CoarseGrainedScheduler@driver:7078", "--executor-id": "3", "--cores": "4",
        "--app-id": "spark-1", "--hostname": "10.1.2.4", "--resourceProfileId": "0", "--podName": "cxr-exec-3",
    }  # fmt: skip


def isolated(*command: str) -> list[str]:
    """Returns a command that runs another one apart; the test is skipped, visibly, where that is not allowed."""
    if subprocess.run([*command, "true"], capture_output=True).returncode:
        pytest.skip(f"not allowed here: {' '.join(command[:2])}")
    return [*command]


def test_a_user_who_is_only_a_number_gets_a_name_and_a_home(start):
    nameless = isolated("unshare", "--map-user=54321")
    told = start("bash", "-c", 'cat "$NSS_WRAPPER_PASSWD"; touch "$HOME/x"; env', within=nameless, HOME="/")
    home = next(line.removeprefix("HOME=") for line in told if line.startswith("HOME="))
    (own,) = (line.split(":") for line in told if line.startswith("cxr:"))
    assert [own[2], own[5]] == ["54321", home]
    assert any(line.startswith("root:x:0:") for line in told)
    assert {"LD_PRELOAD=libnss_wrapper.so", "NSS_WRAPPER_GROUP=/etc/group"} <= set(told)
    assert "libnss-wrapper " in (DOCKER / "Dockerfile").read_text()


def test_a_user_with_a_name_keeps_name_and_home(start):
    told = start("env", HOME="/somewhere")
    assert "HOME=/somewhere" in told
    assert not any(line.startswith(("LD_PRELOAD=", "NSS_WRAPPER")) for line in told)


def test_spark_starts_where_the_name_of_the_host_does_not_resolve(start, monkeypatch):
    unknown = isolated("unshare", "--uts", "sh", "-ec", 'hostname no-such-host.invalid; exec "$@"', "sh")
    monkeypatch.delenv("SPARK_LOCAL_IP", raising=False)
    monkeypatch.setenv("JAVA_HOME", os.environ.get("JAVA_HOME", ""))
    ensure_java(pyspark.__version__)
    home = str(Path(pyspark.__file__).parent)
    own = {"JAVA_HOME": os.environ["JAVA_HOME"], "SPARK_HOME": home}
    start(f"{home}/bin/spark-submit", "--version", within=unknown, **own)
    assert start("sh", "-c", "echo $SPARK_LOCAL_IP", within=unknown, SPARK_LOCAL_IP="10.9.8.7") == ["10.9.8.7"]


def test_the_image_gets_all_that_it_copies():
    kept = [line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"]
    lines = (DOCKER / "Dockerfile").read_text().splitlines()
    copied = [source for line in lines if re.match(r"COPY (?!--from)", line) for source in line.split()[1:-1]]
    assert copied
    for source in copied:
        assert (ROOT / source).exists()
        assert any(source == each or source.startswith(f"{each}/") for each in kept), source


def test_compose_runs_commands_that_exist():
    made = yaml.safe_load((DOCKER / "compose.yaml").read_text())
    script = made["services"]["submit"]["command"][-1]
    assert set(re.findall(r"cxr-spark (\S+)", script)) <= set(COMMANDS)
    for file in re.findall(r"/opt/cxr-spark/(\S+)", script):
        assert (ROOT / file).is_file()
    for name, service in made["services"].items():
        for needed, on in service.get("depends_on", {}).items():
            assert on["condition"] != "service_healthy" or "healthcheck" in made["services"][needed], (name, needed)
