"""Folders for the temporary files of Spark. No JVM is started."""

from __future__ import annotations

import logging
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from cxr_spark.errors import UsageError
from cxr_spark.runtime.private_folders import keep_temporary_files_private


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARK_LOCAL_DIRS", "")  # put back afterwards, whatever it is set to
    monkeypatch.setattr("cxr_spark.runtime.private_folders.atexit.register", lambda *arguments: None)


def made() -> list[Path]:
    return [Path(folder) for folder in os.environ["SPARK_LOCAL_DIRS"].split(",")]


def test_each_folder_that_the_user_named_gets_a_private_one(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        option = keep_temporary_files_private({"spark.local.dir": f"{tmp_path}/a b, {tmp_path}/c"})
    finally:
        os.umask(before)
    assert [folder.parent for folder in made()] == [tmp_path / "a b", tmp_path / "c"]
    assert [stat.S_IMODE(folder.stat().st_mode) for folder in made()] == [0o700, 0o700]
    assert option == f'-Djava.io.tmpdir="{made()[0]}"'


def test_the_variable_wins_over_the_setting_as_in_spark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARK_LOCAL_DIRS", str(tmp_path / "variable"))
    keep_temporary_files_private({"spark.local.dir": str(tmp_path / "setting")})
    assert [folder.parent for folder in made()] == [tmp_path / "variable"]


def test_without_either_it_is_the_systems_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    keep_temporary_files_private({})
    assert [folder.parent for folder in made()] == [tmp_path]


def test_a_folder_that_cannot_be_used_is_told_and_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    with caplog.at_level(logging.WARNING):
        keep_temporary_files_private({"spark.local.dir": f"{tmp_path}/file,{tmp_path}/good"})
    assert [folder.parent for folder in made()] == [tmp_path / "good"]
    assert f"spark.local.dir names {tmp_path}/file, which is not used: File exists" in caplog.text


@pytest.mark.parametrize("value", ["{}/file", "hdfs://nn/tmp", ","])
def test_no_usable_folder_is_refused_with_what_was_named(value: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"spark\.local\.dir .*(file|hdfs://nn/tmp|,).*: expected folders on disks"):
        keep_temporary_files_private({"spark.local.dir": value.format(tmp_path)})


def test_the_folders_are_gone_when_the_process_has_ended(tmp_path: Path) -> None:
    program = (
        "import os\n"
        "from cxr_spark.runtime.private_folders import keep_temporary_files_private as keep\n"
        f"keep({{'spark.local.dir': '{tmp_path}'}})\n"
        "folder = os.environ['SPARK_LOCAL_DIRS']\n"
        "open(folder + '/file', 'w').close()\n"
        "child = os.fork()\n"
        "if child == 0:\n    raise SystemExit\n"
        "os.waitpid(child, 0)\n"
        "print(os.listdir(folder))\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "SPARK_LOCAL_DIRS"}
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, env=environment)
    assert done.stdout == "['file']\n"
    assert list(tmp_path.iterdir()) == []
