"""The examples for schedulers and clusters: read by what reads them, with options that the jobs know."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from cxr_spark.commands.main import parse
from tests.conftest import ROOT

SCHEDULES = ROOT / "conf" / "schedules"


def settings(path: Path) -> dict[str, str]:
    lines = (line.split(None, 1) for line in path.read_text().splitlines() if line and not line.startswith("#"))
    return {key: value.strip() for key, value in lines}


@pytest.mark.parametrize("name", ["local", "yarn", "standalone", "kubernetes"])
def test_spark_settings(name):
    path = ROOT / "conf" / "spark" / f"{name}.conf"
    found = settings(path)
    for file in re.findall(r"/opt/cxr-spark/(\S+)", path.read_text()):  # where the image has the repository
        assert (ROOT / file).is_file()
    assert all(key.startswith("spark.") for key in found)
    assert "spark.executor.pyspark.memory" not in found  # torch does not load below 4 GB of address space
    if name != "local":
        assert found["spark.dynamicAllocation.enabled"] == "false"


def test_scheduled_spark_application():
    made = yaml.safe_load((SCHEDULES / "scheduled_spark_application.yaml").read_text())
    assert (made["apiVersion"], made["kind"]) == ("sparkoperator.k8s.io/v1beta2", "ScheduledSparkApplication")
    template = made["spec"]["template"]
    script = Path(template["mainApplicationFile"].removeprefix("local:///opt/cxr-spark/"))
    assert (ROOT / script).is_file()
    args = parse([script.stem, *template["arguments"]])
    assert args.incremental
    for part in ("driver", "executor"):
        assert template[part]["securityContext"]["runAsNonRoot"] is True
    assert made["spec"]["concurrencyPolicy"] == "Forbid"


def test_the_spark_operator_takes_it():
    """By the models that the operator's project makes of its API: every field is known and of the right type."""
    models = pytest.importorskip("kubeflow_spark_api.models", reason="no kubeflow-spark-api: pip install -e '.[dev]'")
    read = models.SparkV1beta2ScheduledSparkApplication.from_dict
    given = yaml.safe_load((SCHEDULES / "scheduled_spark_application.yaml").read_text())
    assert read(given).to_dict() == given
    executor = given["spec"]["template"]["executor"]
    executor["core"] = 4  # an unknown field is left out
    assert read(given).to_dict() != given
    executor["instances"] = "eight"
    with pytest.raises(ValueError, match="instances"):
        read(given)


def test_kubernetes_lets_the_driver_have_executors():
    made = {each["kind"]: each for each in yaml.safe_load_all((SCHEDULES / "kubernetes_access.yaml").read_text())}
    conf = settings(ROOT / "conf" / "spark" / "kubernetes.conf")
    account = conf["spark.kubernetes.authenticate.driver.serviceAccountName"]
    (subject,) = made["RoleBinding"]["subjects"]
    assert subject["name"] == made["ServiceAccount"]["metadata"]["name"] == account
    assert made["RoleBinding"]["roleRef"]["name"] == made["Role"]["metadata"]["name"]
    spaces = {each["metadata"].get("namespace", each["metadata"]["name"]) for each in made.values()}
    assert spaces == {conf["spark.kubernetes.namespace"]}
    (rule,) = made["Role"]["rules"]
    assert "*" not in rule["verbs"] + rule["resources"] + rule["apiGroups"]
    scheduled = yaml.safe_load((SCHEDULES / "scheduled_spark_application.yaml").read_text())
    assert scheduled["spec"]["template"]["driver"]["serviceAccount"] == account
    pod = yaml.safe_load((ROOT / "conf" / "spark" / "pod.yaml").read_text())["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["containers"][0]["securityContext"]["allowPrivilegeEscalation"] is False


@pytest.fixture
def nightly(tmp_path):
    """Runs the script for cron with a stand-in for spark-submit, which notes its arguments."""
    submit = tmp_path / "submit"
    submit.write_text('#!/usr/bin/env bash\nprintf "%s\\n" "$@" > "$NOTE"\nsleep "${SLOW:-0}"\nexit "${STATUS:-0}"\n')
    submit.chmod(0o755)

    def start(**variables: str) -> subprocess.Popen[str]:
        own = {"SPARK_SUBMIT": str(submit), "NOTE": str(tmp_path / "note"), "CXR_HOME": str(ROOT)}
        own |= {"CXR_LOCK": str(tmp_path / "lock"), **variables}
        command = [str(SCHEDULES / "nightly.sh")]
        return subprocess.Popen(command, env={**os.environ, **own}, stderr=subprocess.PIPE, text=True)

    return start, tmp_path / "note"


def test_nightly_script_submits_a_job_that_exists(nightly):
    start, note = nightly
    assert start(STATUS="0").wait() == 0
    line = note.read_text().splitlines()
    script = next(i for i, part in enumerate(line) if part.endswith(".py"))
    assert Path(line[script]).is_file()
    assert Path(line[line.index("--properties-file") + 1]).is_file()
    args = parse([Path(line[script]).stem, *line[script + 1 :]])
    assert (args.incremental, args.images) == (True, ["hdfs:///incoming"])


def test_nightly_script_hands_the_status_on_and_runs_once_at_a_time(nightly):
    start, note = nightly
    assert start(STATUS="4").wait() == 4
    note.unlink()
    first = start(SLOW="5")
    while not note.exists():
        assert first.poll() is None
    second = start()
    assert second.wait() == 75
    assert "still at work" in second.stderr.read()
    first.terminate()
    first.wait()


def test_airflow_takes_the_dags(tmp_path):
    """Airflow itself parses them, in the environment that `make test` installs it into."""
    folder = ROOT / ".venvs" / "airflow"
    if not (folder / ".installed").exists():
        pytest.skip(f"no apache-airflow in {folder}: `make test` installs it")
    check = (
        "import json, sys\n"
        "try:\n"
        "    from airflow.dag_processing.dagbag import DagBag\n"
        "except ImportError:\n"
        "    from airflow.models import DagBag\n"
        "bag = DagBag(sys.argv[1])\n"
        "assert not bag.import_errors, bag.import_errors\n"
        "for name, dag in sorted(bag.dags.items()):\n"
        "    for task in dag.topological_sort():\n"
        "        print(json.dumps([name, task.task_id, task.application, *task.application_args]))\n"
    )
    own = {**os.environ, "AIRFLOW_HOME": str(tmp_path), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    command = [str(folder / "bin" / "python"), "-c", check, str(SCHEDULES / "airflow_dag.py")]
    ended = subprocess.run(command, env=own, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr[-3000:]
    jobs = [json.loads(line) for line in ended.stdout.splitlines() if line.startswith('["cxr_')]
    assert [(dag, task) for dag, task, *_ in jobs] == [
        *(("cxr_monthly_training", name) for name in ("prepare", "train", "score", "evaluate")),
        ("cxr_nightly_scores", "score"),
    ]
    for _, _, script, *options in jobs:
        assert (ROOT / "jobs" / Path(script).name).is_file()
        parse([Path(script).stem, *options])
