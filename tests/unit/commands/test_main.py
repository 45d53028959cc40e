"""The command line: help, exit statuses and messages."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from cxr_spark import errors
from cxr_spark.commands import main as cli
from cxr_spark.commands.main import COMMANDS, main
from tests.support.command_line import ROOT, failing, last_line, run

COMMON = ("--config", "--set", "--overwrite", "--master", "--spark", "--debug")


#: The options that each command has, by the documentation of the commands.
OPTIONS = {
    "prepare": (
        "--images --labels --out --dataset --split --train-list --test-list --val-fraction --size --resize --seed "
        "--max-bad-fraction"
    ),
    "train": "--data --out --backend --workers",
    "score": "--data --split --images --model --out",
    "evaluate": "--predictions --out --labels",
    "explain": "--data --images --model --out --boxes",
    "explore": "--data --out",
    "benchmark": "--out",
    "pipeline": "--check",
    "quarantine": "URI --limit",
    "config": "--schema --show",
    "sample-data": "--out --images --size --seed",
    "import-weights": "SOURCE --architecture --out",
    "bigdl-jars": "",
}


@pytest.mark.parametrize("name", COMMANDS)
def test_help_is_complete(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([name, "--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    for option in (*OPTIONS[name].split(), *COMMON):
        assert re.search(rf"{option}\b", text), option
    parser = cli._Parser()
    importlib.import_module(f"cxr_spark.commands.{name.replace('-', '_')}").add_arguments(parser)
    unexplained = [action.dest for action in parser._actions if not action.help]
    assert unexplained == []
    assert "0 done, 2 bad usage or settings, 3 bad data, 4 the run failed" in " ".join(text.split())


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_listed_as_it_calls_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    assert re.search(rf"^  {name} +{re.escape(COMMANDS[name])}$", capsys.readouterr().out, re.MULTILINE)
    assert (ROOT / "jobs" / f"{name.replace('-', '_')}.py").exists()


def test_overview_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, status in ((["--help"], 0), (["-h"], 0), (["--version"], 0), ([], 2)):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == status
        text = capsys.readouterr().out
        if arguments != ["--version"]:
            assert all(name in text for name in COMMANDS)


@pytest.mark.parametrize(
    ("error", "status", "told"),
    [
        (errors.UsageError("--x 'y': expected z"), 2, "--x 'y': expected z"),
        (errors.ConfigError("train.epochs=0"), 2, "train.epochs=0"),
        (errors.DataError("row 3:\n unknown finding 'Lupus'"), 3, "row 3: unknown finding 'Lupus'"),
        (errors.RunError("no space left"), 4, "no space left"),
        (errors.DivergedError("loss is nan"), 4, "loss is nan"),
        (FileNotFoundError(2, "No such file", "/data/x.csv"), 3, "no such file or folder: /data/x.csv"),
        (KeyboardInterrupt(), 4, "interrupted; run the same command again to go on"),
        (ValueError("line one\nline two " + "x" * 5000), 4, "ValueError: line one line two xxx"),
        (MemoryError(), 4, "MemoryError"),
    ],
)
def test_exit_statuses_and_one_line_errors(
    job: SimpleNamespace, capsys: pytest.CaptureFixture[str], error: BaseException, status: int, told: str
) -> None:
    job.work = failing(error)
    assert main(["job"]) == status
    printed = capsys.readouterr()
    assert printed.out == ""
    lines = printed.err.strip().splitlines()
    assert len(lines) == 2  # the error and the last log line
    assert lines[0].startswith(f"cxr-spark job: {told}")
    assert len(lines[0]) < 800
    assert f"job=job exit_status={status} " in lines[1]
    assert "Traceback" not in printed.err


def test_debug_shows_the_trace(job: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    job.work = failing(errors.DataError("bad"))
    assert main(["job", "--debug"]) == 3
    printed = capsys.readouterr().err
    assert "Traceback" in printed
    assert "in failing" not in printed
    assert "job=job exit_status=3" in last_line(printed)


def test_success_prints_the_summary_as_json(job: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    job.work = lambda args: {"auc": float("nan"), "out": Path("/x"), "n": 3}
    assert main(["job"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out) == {"auc": None, "out": "/x", "n": 3}
    assert re.search(r"job=job exit_status=0 seconds=\d+\.\d$", last_line(printed.err))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nosuch"], "unknown command 'nosuch'"),
        (["job", "--nosuch"], "unrecognized arguments: --nosuch; see `cxr-spark job --help`"),
        (["job", "--n", "many"], "invalid int value: 'many'"),
        (["job", "--ou", "x"], "unrecognized arguments: --ou"),  # no abbreviations: they break when options are added
        (["job", "--set", "trian.epochs=3"], "did you mean 'train'?"),
        (["job", "--config", "/nosuch.yaml"], "no such file"),
        (["job", "--spark", "memory=3"], "--spark 'memory=3': expected spark.some.key=value"),
        (["train"], "--data, --out"),
        (["config"], "--schema --show"),
    ],
)
def test_bad_usage(job: SimpleNamespace, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str) -> None:
    assert main(arguments) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("cxr-spark")
    assert told in lines[0]
    assert "exit_status=2" in lines[1]


class Py4JJavaError(Exception):
    """As Py4J's: its text has the trace."""

    java_exception = "what Java's toString gives"

    def __init__(self, called: str, trace: str) -> None:
        super().__init__(f"An error occurred while calling {called}.\n: {trace}")


def test_what_a_task_raised_is_told_and_gives_the_exit_status(
    job: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    trace = (
        "org.apache.spark.SparkException: Job aborted\n"
        'Traceback (most recent call last):\n  File "x.py", line 3, in f\n'
        "cxr_spark.errors.DataError: row 7: unknown finding 'Lupus'\n\n\tat org.apache.spark.api.python..."
    )
    job.work = failing(Py4JJavaError("o67.collect", trace))
    assert main(["job"]) == 3
    assert "cxr-spark job: row 7: unknown finding 'Lupus'\n" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(28, "No space left on device", "/x/part"), "/x/part"),
        (
            Py4JJavaError("o7.put", "j.Error: put\n\tat x\nCaused by: j.IOError: No space left on device"),
            "j.IOError",
        ),
    ],
)
def test_a_full_disk_is_told_with_what_helps(job, capsys, error, told):
    job.work = failing(error)
    assert main(["job"]) == 4
    line = next(line for line in capsys.readouterr().err.splitlines() if line.startswith("cxr-spark job: "))
    assert "No space left on device" in line
    assert told in line
    assert "An error occurred" not in line
    assert "j.Error" not in line
    assert "spark.local.dir and TMPDIR" in line


def test_a_user_without_a_name_is_told_what_to_do(job, capsys, monkeypatch):
    monkeypatch.setattr("os.getuid", lambda: 987_654_321)
    assert main(["job"]) == 2
    assert "user 987654321 has no name on this machine" in capsys.readouterr().err


def test_an_error_of_a_jvm_that_is_gone_is_told(job, capsys):
    class GoneJvmError(Exception):
        java_exception, errmsg = None, "An error occurred while calling o7.put.\n"

        def __str__(self) -> str:  # as Py4J's, which asks the JVM for the trace
            raise ConnectionRefusedError

    job.work = failing(GoneJvmError())
    assert main(["job"]) == 4
    assert "cxr-spark job: a Spark job failed: An error occurred while calling o7.put." in capsys.readouterr().err


def test_config_shows_schema_and_values() -> None:
    schema = json.loads(run("config", "--schema").stdout)
    assert schema["$defs"]["TrainSettings"]["properties"]["epochs"]["minimum"] == 1
    shown = run("config", "--show", "--set", "train.epochs=7")
    assert shown.returncode == 0
    assert "  epochs: 7\n" in shown.stdout


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_the_overview_waits_for_no_large_library(option: str) -> None:
    script = f"""
import sys
from cxr_spark.commands.main import main
try:
    main([{option!r}])
except SystemExit as ended:
    assert ended.code == 0
print(sorted({{"numpy", "pandas", "pyarrow", "pydantic", "pyspark", "torch", "fsspec"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.splitlines()[-1] == "[]"
