"""The command line: exit statuses, one line an error, the last log line, the record in the output folder."""

from __future__ import annotations

import argparse
import importlib
import json
import logging
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cxr_spark import commands, errors
from cxr_spark.commands import main as cli
from cxr_spark.commands.main import COMMANDS, main
from cxr_spark.outputs.claim import Claim
from cxr_spark.outputs.job import Input, Job, JobRun, ReadyJob
from cxr_spark.outputs.results import JobResult

ROOT = Path(__file__).resolve().parents[3]
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


@pytest.fixture
def job(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A command `job` whose work the test sets as `job.work(args)`."""
    module = SimpleNamespace(__doc__="Does work.", work=lambda args: {})

    def add_arguments(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--out")
        parser.add_argument("--n", type=int)

    module.add_arguments = add_arguments
    module.run = lambda args: module.work(args)
    _register(module, monkeypatch)
    return module


@pytest.fixture
def folder_job(job: SimpleNamespace) -> SimpleNamespace:
    """A command `job` that writes to a folder: `job.work(args)` returns the job that is then run."""
    job.job = lambda args: job.work(args)
    return job


def _register(module: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(COMMANDS, "job", "does work")
    monkeypatch.setitem(sys.modules, "cxr_spark.commands.job", module)
    monkeypatch.setattr(commands, "job", module, raising=False)


def last_line(text: str) -> str:
    return text.strip().splitlines()[-1]


def failing(error: BaseException) -> Any:
    def work(args: argparse.Namespace) -> dict[str, object]:
        raise error

    return work


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


def status_of(out: Path) -> dict[str, Any]:
    return json.loads((out / "_status.json").read_text())  # type: ignore[no-any-return]


def working(error: BaseException | None) -> Any:
    def work(claimed: Claim, number: int | None) -> NumberResult:
        if error is not None:
            raise error
        return NumberResult(out=claimed.store.uri, n=number)

    return lambda args: NumberJob(args.out, args.n, work)


class NumberResult(JobResult):
    n: int | None


@dataclass(frozen=True)
class NumberJob(Job[NumberResult]):
    """A job whose work the test gives, and whose result is a number."""

    name = "job"
    result = NumberResult
    out: str
    n: int | None
    work: Any

    def inputs(self) -> dict[str, Input]:
        return {}

    def read_inputs(self, run: JobRun) -> ReadyJob[NumberResult]:
        return ReadyJob({"n": self.n}, lambda claimed: self.work(claimed, self.n))


def test_status_of_success_and_failure_is_left_in_the_output(folder_job: SimpleNamespace, tmp_path: Path) -> None:
    out = tmp_path / "out"
    folder_job.work = working(errors.DataError("too many bad images"))
    assert main(["job", "--out", str(out), "--n", "1"]) == 3
    status = status_of(out)
    assert (status["job"], status["exit_status"], status["error"]) == ("job", 3, "too many bad images")
    folder_job.work = working(None)
    assert main(["job", "--out", str(out), "--n", "1"]) == 0
    status = status_of(out)
    assert (status["exit_status"], status["error"], status["summary"]) == (0, None, {"out": f"file://{out}", "n": 1})
    # Refused, as the finished output is of other settings: the scheduler has to see that too.
    assert main(["job", "--out", str(out), "--n", "2"]) == 2
    assert status_of(out)["exit_status"] == 2
    assert "n was 1, is 2" in status_of(out)["error"]


def test_status_of_a_run_that_failed_before_it_had_its_output(folder_job: SimpleNamespace, tmp_path: Path) -> None:
    out = tmp_path / "out"
    folder_job.work = failing(errors.DataError("labels.csv has no column 'Finding Labels'"))
    assert main(["job", "--out", str(out)]) == 3
    assert status_of(out)["exit_status"] == 3
    assert main(["job", "--out", str(out), "--set", "nosuch=1"]) == 2
    assert status_of(out)["exit_status"] == 2


def test_no_status_in_a_folder_of_someone_else(folder_job: SimpleNamespace, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    for work in (failing(errors.DataError("bad")), working(None)):
        folder_job.work = work
        assert main(["job", "--out", str(tmp_path)]) != 0
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_the_log_can_be_read(job: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    def work(args: argparse.Namespace) -> dict[str, object]:
        logging.getLogger("cxr_spark.some.part").info("found %d images", 3)
        logging.getLogger("cxr_spark.some.part").debug("detail")
        logging.getLogger("library").info("chatter")
        return {}

    job.work = work
    assert main(["job"]) == 0
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 2
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} INFO cxr_spark\.some\.part: found 3 images", lines[0])
    assert main(["job", "--debug"]) == 0
    assert "detail" in capsys.readouterr().err


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cxr_spark.commands.main", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)


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


def test_a_closed_pipe_is_no_error() -> None:
    command = f"{sys.executable} -m cxr_spark.commands.main config --schema | head -c 10; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.stdout == '{\n  "$defs'
    assert "Broken" not in done.stderr
    assert done.returncode == 0


SLOW_JOB = """
import sys, time
from dataclasses import dataclass
from types import SimpleNamespace
from cxr_spark.commands import main as cli
from cxr_spark.outputs.results import JobResult
from cxr_spark.outputs.job import Job, ReadyJob

def add_arguments(parser):
    parser.add_argument("--out")

@dataclass(frozen=True)
class SlowJob(Job):
    name = "job"
    result = JobResult
    out: str

    def inputs(self):
        return {}

    def read_inputs(self, run):
        return ReadyJob({}, self.work)

    def work(self, claimed):
        print("working", flush=True)
        time.sleep(600)

cli.COMMANDS["job"] = "does work"
module = SimpleNamespace(__doc__="", add_arguments=add_arguments, job=lambda args: SlowJob(args.out))
sys.modules["cxr_spark.commands.job"] = module
raise SystemExit(cli.main(["job", *sys.argv[1:]]))
"""


@pytest.mark.parametrize(("number", "word"), [(signal.SIGTERM, "terminated"), (signal.SIGINT, "interrupted")])
def test_a_signal_ends_a_run_cleanly(tmp_path: Path, number: signal.Signals, word: str) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-c", SLOW_JOB, "--out", str(out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "working\n"
        time.sleep(0.1)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 4
    assert f"cxr-spark job: {word}; run the same command again to go on" in err
    assert "job=job exit_status=4" in last_line(err)
    assert "Traceback" not in err
    assert status_of(out)["exit_status"] == 4
    assert sorted(path.name for path in out.iterdir()) == ["_cxr_spark.json", "_status.json"]  # no lock stays
