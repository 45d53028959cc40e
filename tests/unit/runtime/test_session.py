"""Sessions: settings that come too late, defaults, and what paths mean before Spark is started."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cxr_spark.errors import UsageError
from cxr_spark.runtime import session as spark_module
from cxr_spark.runtime import spark_files
from cxr_spark.runtime.application import Application
from cxr_spark.runtime.session import check_shared, refuse_late, session, session_beside, under_spark_submit
from tests.support.fake_java import fake_java

pytestmark = pytest.mark.usefixtures("environment")


@pytest.mark.parametrize(
    "key",
    [
        "spark.driver.memory", "spark.driver.extraJavaOptions", "spark.executor.memory", "spark.executor.instances",
        "spark.jars", "spark.jars.packages", "spark.yarn.queue", "spark.task.cpus", "spark.dynamicAllocation.enabled",
        "spark.submit.deployMode", "spark.serializer", "spark.kubernetes.namespace", "spark.master",
    ],
)  # fmt: skip
def test_settings_that_come_too_late_are_refused_with_the_flag(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv("PYSPARK_GATEWAY_PORT", "1")
    assert under_spark_submit()
    for start in (lambda: session("x", conf={key: "8"}), lambda: Application("x", None, {key: "8"})):
        with pytest.raises(UsageError, match=rf"--spark {key}=8 comes too late .*`--conf {key}=8`"):
            start()


@pytest.mark.parametrize("key", ["spark.sql.shuffle.partitions", "spark.hadoop.fs.defaultFS", "spark.cxr.sharedLocal"])
def test_other_settings_may_come_late(key: str) -> None:
    refuse_late(None, {key: "8"})


def test_master_comes_too_late_under_spark_submit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYSPARK_GATEWAY_PORT", "1")
    with pytest.raises(UsageError, match="give it to spark-submit"):
        Application("x", "yarn", {})


def test_local_paths_and_other_masters() -> None:
    for master in ("local", "local[4]", "local-cluster[2,1,1024]"):
        assert check_shared("file:///x", "--out", master, "false") == "file:///x"
    assert check_shared("hdfs://n/x", "--out", "yarn", "false") == "hdfs://n/x"
    assert check_shared("file:///x", "--out", "yarn", "True") == "file:///x"
    with pytest.raises(UsageError, match=r"--out file:///x is on the local disk.*spark://h:7077.*sharedLocal=true"):
        check_shared("file:///x", "--out", "spark://h:7077", "false")


def test_spark_defaults_are_read_as_java_properties(machine: Path) -> None:
    (machine / "spark/conf/spark-defaults.conf").write_text(
        "# a comment\n! another\n\nspark.master   yarn\nspark.a=b=c\n  spark.b : d e \nnotspark x\nspark.empty\n"
    )
    expected = {"spark.master": "yarn", "spark.a": "b=c", "spark.b": "d e", "spark.empty": ""}
    assert spark_files.spark_defaults() == expected


def core_site(folder: Path, body: str) -> str:
    folder.mkdir(exist_ok=True)
    (folder / "core-site.xml").write_text(f"<?xml version='1.0'?><configuration>{body}</configuration>")
    return str(folder)


def prop(name: str, value: str) -> str:
    return f"<property><name> {name} </name><value> {value} </value><final>true</final></property>"


def known_default_fs(asked: dict[str, str] | None = None) -> str | None:
    """Returns what a session with these settings will find, beside those of spark-defaults.conf."""
    return spark_files.default_fs_by_files({**spark_files.spark_defaults(), **(asked or {})})


def test_default_fs_before_start(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert known_default_fs() == "file:///"
    monkeypatch.setenv("HADOOP_CONF_DIR", str(machine / "nothing"))
    assert known_default_fs() == "file:///"
    monkeypatch.setenv("HADOOP_CONF_DIR", core_site(machine / "hadoop", prop("fs.defaultFS", "hdfs://nn:8020")))
    assert known_default_fs() == "hdfs://nn:8020"
    defaults = machine / "spark/conf/spark-defaults.conf"
    defaults.write_text("spark.hadoop.fs.defaultFS hdfs://other\n")
    assert known_default_fs() == "hdfs://other"
    assert known_default_fs({"spark.hadoop.fs.defaultFS": "s3a://bucket"}) == "s3a://bucket"


@pytest.mark.parametrize(
    "body",
    [
        prop("fs.defaultFS", "hdfs://${nn.host}:8020"),
        '<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="more.xml"/>',
        "<broken",
    ],
)
def test_default_fs_that_only_hadoop_can_tell(machine: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    monkeypatch.setenv("HADOOP_CONF_DIR", core_site(machine / "hadoop", body))
    assert known_default_fs() is None


def test_default_fs_that_a_start_script_may_change(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert known_default_fs({"spark.driver.extraClassPath": "/etc/hadoop/conf"}) is None
    (machine / "spark/conf/spark-env.sh").write_text("export HADOOP_CONF_DIR=/etc/hadoop\n")
    assert known_default_fs() is None


def test_an_application_knows_paths_without_starting(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cxr_spark.runtime.application._is_running", lambda: False)
    monkeypatch.setattr("cxr_spark.runtime.application.session", lambda *_: pytest.fail("Spark was started"))
    monkeypatch.chdir(machine)
    local = Application("x", None, {})
    assert local.resolve_shared("a", "--out") == f"file://{machine}/a"
    cluster = Application("x", "spark://h:7077", {"spark.hadoop.fs.defaultFS": "hdfs://nn"})
    assert cluster.resolve_shared("/a", "--out") == "hdfs://nn/a"
    with pytest.raises(UsageError, match="local disk"):
        cluster.resolve_shared("file:///a", "--out")
    shared = Application("x", "spark://h:7077", {"spark.cxr.sharedLocal": "true"})
    assert shared.resolve_shared("/a", "--out") == "file:///a"


def test_the_users_own_logging_is_left_alone(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not spark_files.has_own_logging({})
    assert spark_files.has_own_logging({"spark.driver.extraJavaOptions": "-Dlog4j2.configurationFile=mine.xml"})
    (machine / "spark/conf/log4j2.properties.template").write_text("")
    assert not spark_files.has_own_logging({})
    (machine / "spark/conf/log4j2.properties").write_text("")
    assert spark_files.has_own_logging({})
    monkeypatch.setenv("SPARK_CONF_DIR", str(machine / "elsewhere"))
    assert not spark_files.has_own_logging({})
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-Dlog4j.configurationFile=mine.xml")
    assert spark_files.has_own_logging({})


def before_start(machine: Path, monkeypatch: pytest.MonkeyPatch, conf: dict[str, str]) -> dict[str, str]:
    monkeypatch.setenv("JAVA_HOME", str(fake_java(machine / "jdk", "17")))
    return spark_module._before_start("local[*]", conf)


def test_local_defaults_give_way_to_spark_defaults(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert before_start(machine, monkeypatch, {})["spark.driver.memory"] == "2g"
    text = "spark.driver.memory 9g\nspark.sql.session.timeZone Europe/Berlin\n"
    (machine / "spark/conf/spark-defaults.conf").write_text(text)
    found = before_start(machine, monkeypatch, {})
    assert "spark.driver.memory" not in found
    assert found["spark.sql.session.timeZone"] == "Europe/Berlin"


def test_java_options_of_the_user_stay(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    conf = {"spark.driver.defaultJavaOptions": "-Xss4m"}
    before_start(machine, monkeypatch, conf)
    assert conf["spark.driver.defaultJavaOptions"].endswith('log4j2-local.properties" -Xss4m')
    conf = {"spark.driver.extraJavaOptions": "-Xss4m"}
    before_start(machine, monkeypatch, conf)
    assert conf["spark.driver.extraJavaOptions"] == "-Xss4m"
    assert "log4j2-local.properties" in conf["spark.driver.defaultJavaOptions"]
    conf = {}
    (machine / "spark/conf/spark-defaults.conf").write_text("spark.driver.defaultJavaOptions -Xss4m\n")
    before_start(machine, monkeypatch, conf)
    assert conf["spark.driver.defaultJavaOptions"].endswith(" -Xss4m")


def test_a_running_spark_whose_workers_are_of_another_python_is_refused_before_any_task(tmp_path: Path) -> None:
    bare = tmp_path / "python3"
    bare.write_text("#!/bin/sh\necho 2.7\n")
    bare.chmod(0o755)
    running: Any = SimpleNamespace(sparkContext=SimpleNamespace(master="local[2]", pythonExec=str(bare)))
    with pytest.raises(UsageError, match=r"running Spark .*/python3.* set os.environ\['PYSPARK_PYTHON'\] = sys.exec"):
        session_beside(running)
