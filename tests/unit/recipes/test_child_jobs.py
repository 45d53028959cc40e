"""The pipeline: what runs in which order, what is checked before, and that its jobs end with it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from cxr_spark.config import load_settings
from cxr_spark.errors import CxrError, DataError, UsageError
from cxr_spark.recipes.check import PipelineCheck
from cxr_spark.recipes.child_jobs import ChildJobError, child_jobs, run_child_job
from cxr_spark.storage.store import Store, resolve

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def inputs(tmp_path: Path) -> list[str]:
    """Settings of a pipeline that has nothing wrong."""
    (tmp_path / "images").mkdir()
    for name in ("labels.csv", "train.txt", "test.txt"):
        (tmp_path / name).write_text("")
    return [
        f"prepare.images={tmp_path}/images",
        f"prepare.labels={tmp_path}/labels.csv",
        f"prepare.train_list={tmp_path}/train.txt",
        f"prepare.test_list={tmp_path}/test.txt",
        f"pipeline.out={tmp_path}/out",
    ]


def check(*overrides: str) -> None:
    settings = load_settings(None, overrides)
    PipelineCheck(settings, child_jobs(settings), resolve).run()


def problems(*overrides: str, kind: type[CxrError] = UsageError) -> list[str]:
    with pytest.raises(kind) as caught:
        check(*overrides)
    return str(caught.value).split("; ")


def test_jobs_in_order_with_each_others_outputs() -> None:
    settings = load_settings(None, ["pipeline.out=hdfs://n/runs/1/"])
    assert [(job.name, job.out, job.options) for job in child_jobs(settings)] == [
        ("prepare", "hdfs://n/runs/1/prepared", ()),
        ("train", "hdfs://n/runs/1/run", ("--data", "hdfs://n/runs/1/prepared")),
        (
            "score",
            "hdfs://n/runs/1/scores",
            ("--data", "hdfs://n/runs/1/prepared", "--model", "hdfs://n/runs/1/run/model"),
        ),
        ("evaluate", "hdfs://n/runs/1/evaluation", ("--predictions", "hdfs://n/runs/1/scores")),
    ]
    some = load_settings(None, ["pipeline.out=/x", "pipeline.steps=[score, evaluate]"])
    assert [job.name for job in child_jobs(some)] == ["score", "evaluate"]
    others = load_settings(None, ["pipeline.out=/x", "pipeline.steps=[explore, explain]"])
    assert [(job.name, job.out, job.options) for job in child_jobs(others)] == [
        ("explore", "/x/exploration", ("--data", "/x/prepared")),
        ("explain", "/x/explanation", ("--data", "/x/prepared", "--model", "/x/run/model")),
    ]


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("explain.boxes=/nowhere/boxes.csv", "explain.boxes '/nowhere/boxes.csv': no such file"),
        ("explain.only=boxed", "explain.only is boxed, but explain.boxes is not set"),
        ("explain.layers=[layer9]", "resnet50 has no layer 'layer9'"),
        ("evaluate.baseline=/nowhere/scores", "evaluate.baseline /nowhere/scores: no such file"),
    ],
)
def test_what_evaluate_and_explain_need(inputs: list[str], override: str, said: str) -> None:
    every = "pipeline.steps=[prepare, explore, train, score, evaluate, explain]"
    check(*inputs, every)
    with pytest.raises(CxrError) as error:
        check(*inputs, every, override)
    assert said in str(error.value)


def test_nothing_wrong(inputs: list[str], tmp_path: Path) -> None:
    check(*inputs)
    check(*inputs, f"prepare.images={tmp_path}/ima*/**/*.png")
    assert not (tmp_path / "out").exists()  # to check writes nothing


def test_all_problems_are_told(tmp_path: Path) -> None:
    (tmp_path / "out" / "prepared").mkdir(parents=True)
    (tmp_path / "out" / "prepared" / "thesis.tex").write_text("")
    found = problems(
        f"pipeline.out={tmp_path}/out", "prepare.images=[/nosuch/a, /nosuch/*.png]",
        "prepare.labels=/nosuch/labels.csv", "prepare.test_list=/nosuch/test.txt",
        "model.weights=/nosuch/w.safetensors", "model.freeze={until: nosuch}",
        "train.augmentations=[{random_crop: {size: 100}}]",
    )  # fmt: skip
    told = "\n".join(found)
    for part in (
        "thesis.tex", "prepare.images '/nosuch/a'", "prepare.images '/nosuch/*.png'", "prepare.labels",
        "prepare.test_list", "model.weights", "nosuch", "100 x 100",
    ):  # fmt: skip
        assert part in told
    assert len(found) == len(set(found)) == 8


def test_what_is_not_set(tmp_path: Path) -> None:
    found = problems()
    assert any(text.startswith("pipeline.out is not set") for text in found)
    assert any(text.startswith("prepare.images is not set") for text in found)
    assert any(text.startswith("prepare.labels is not set") for text in found)


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["model.architecture=resnet5000"], "resnet5000"),
        (["model.input_size=16"], "too small"),
        (["model.architecture=inception_v3", "model.input_size=64"], "too small"),
        (["prepare.size=64", "model.input_size=64", "train.augmentations=[{random_crop: {size: 60}}]"], "60 x 60"),
        (["prepare.size=64", "train.augmentations=[{random_crop: {size: 224}}]"], "augmentations"),
        (["train.augmentations=[nosuch]"], "unknown augmentation 'nosuch'"),
        (["train.augmentations=[{random_crop: {size: 0}}]"], "random_crop"),
        (["model.freeze={until: nosuch}"], "nosuch"),
        (["model.weights=IMAGENET1K_V9"], "IMAGENET1K_V9"),
    ],
)
def test_training_that_cannot_work(inputs: list[str], overrides: list[str], told: str) -> None:
    assert told in " ".join(problems(*inputs, *overrides))


@pytest.mark.parametrize(
    "overrides",
    [
        ["prepare.size=64", "model.input_size=32"],
        ["prepare.size=256", "train.augmentations=[{random_crop: {size: 224}}, random_horizontal_flip]"],
        ["model.freeze=backbone"],
        ["model.freeze={until: layer3}"],
    ],
)
def test_training_that_works(inputs: list[str], overrides: list[str]) -> None:
    check(*inputs, *overrides)


def test_outputs_among_inputs_are_refused(inputs: list[str], tmp_path: Path) -> None:
    assert "lies in prepare.images" in " ".join(problems(*inputs, f"pipeline.out={tmp_path}/images/out"))
    (tmp_path / "out" / "prepared").mkdir(parents=True)
    (tmp_path / "out" / "prepared" / "_cxr_spark.json").write_text('{"job": "prepare"}')
    (tmp_path / "out" / "prepared" / "x.csv").write_text("")
    found = problems(*inputs, f"prepare.labels={tmp_path}/out/prepared/x.csv")
    assert "lies in --out" in " ".join(found)


def test_what_jobs_that_are_left_out_would_have_made(inputs: list[str], tmp_path: Path) -> None:
    found = problems(*inputs, "pipeline.steps=[score]", kind=CxrError)
    assert any("prepared" in text for text in found)
    assert any("model" in text for text in found)
    assert "predictions" in " ".join(problems(*inputs, "pipeline.steps=[evaluate]"))
    with pytest.raises(DataError, match="not a finished prepared dataset"):
        check(*inputs, "pipeline.steps=[train]")


# --- jobs as processes

FAKE_JOB = """
import json, os, signal, sys, time
from pathlib import Path
from cxr_spark.runtime.processes import end_with_pipeline, terminate_as_interrupt

folder = Path(sys.argv[1])
with terminate_as_interrupt():
    end_with_pipeline()
    try:
        (folder / "pid").write_text(str(os.getpid()))
        time.sleep(600)
    except KeyboardInterrupt as reason:
        (folder / "ended").write_text(type(reason).__name__)
        sys.exit(4)
"""
FAKE_PIPELINE = """
import os, sys
from cxr_spark.runtime.processes import run_child, terminate_as_interrupt

with terminate_as_interrupt():
    try:
        run_child([sys.executable, "-c", sys.argv[1], sys.argv[2]], os.environ, sys.stderr)
    except KeyboardInterrupt as reason:
        sys.exit(f"pipeline: {type(reason).__name__}")
"""


def wait_for(condition: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize(
    ("number", "group", "job_ends"),
    [
        (signal.SIGTERM, False, "Terminated"),  # of a scheduler
        (signal.SIGINT, True, "KeyboardInterrupt"),  # Ctrl-C reaches the whole group
        (signal.SIGKILL, False, "Terminated"),  # only the pipeline is killed
        (signal.SIGKILL, True, None),  # all at once
    ],
)
def test_a_job_ends_with_its_pipeline(
    tmp_path: Path, number: signal.Signals, group: bool, job_ends: str | None
) -> None:
    command = [sys.executable, "-c", FAKE_PIPELINE, FAKE_JOB, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, start_new_session=True, stderr=subprocess.PIPE) as pipeline:
        wait_for((tmp_path / "pid").exists)
        time.sleep(0.2)
        job = int((tmp_path / "pid").read_text())
        os.killpg(pipeline.pid, number) if group else pipeline.send_signal(number)
        _, err = pipeline.communicate(timeout=60)
    wait_for(lambda: not alive(job))
    if job_ends is not None:
        assert (tmp_path / "ended").read_text() == job_ends
    else:
        assert not (tmp_path / "ended").exists()
    if number != signal.SIGKILL:
        assert f"pipeline: {'Terminated' if number == signal.SIGTERM else 'KeyboardInterrupt'}" in err.decode()


STUBBORN_JOB = """
import os, signal, sys, time
from pathlib import Path
signal.signal(signal.SIGTERM, signal.SIG_IGN)
(Path(sys.argv[1]) / "pid").write_text(str(os.getpid()))
time.sleep(600)
"""


def test_a_job_that_does_not_end_is_killed(tmp_path: Path) -> None:
    program = FAKE_PIPELINE.replace(
        "with terminate", "import cxr_spark.runtime.processes as p; p.GRACE = 0.5\nwith terminate", 1
    )
    command = [sys.executable, "-c", program, STUBBORN_JOB, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL) as pipeline:
        wait_for((tmp_path / "pid").exists)
        time.sleep(0.2)
        pipeline.terminate()
        pipeline.wait(60)
    assert not alive(int((tmp_path / "pid").read_text()))


def test_a_job_that_fails_gives_its_exit_status(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    settings = load_settings(None, [f"pipeline.out={tmp_path}/out", "pipeline.steps=[evaluate]"])
    (job,) = child_jobs(settings)
    with pytest.raises(ChildJobError, match=r"evaluate failed with exit status 2: .* run the pipeline again") as caught:
        run_child_job(job, resolve(job.out), ["--set=nosuch=1"], None, {})
    assert caught.value.exit_status == 2
    assert "unknown setting 'nosuch'" in capfd.readouterr().err


def test_finished_jobs_are_run_again_only_to_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A settings file of a relative path, a pipeline of jobs that stand in for the real ones."""
    commands: list[list[str]] = []

    def run_child(command: list[str], environment: dict[str, str], stdout: object) -> int:
        commands.append(command)
        out = next(word for word in command if word.startswith("--out=")).removeprefix("--out=")
        Store(resolve(out)).write_json("_done.json", {"job": command[3], "summary": {"job": command[3]}})
        return 0

    from cxr_spark.commands.main import main

    monkeypatch.setattr("cxr_spark.recipes.child_jobs.run_child", run_child)
    monkeypatch.chdir(tmp_path)
    for name in ("images",):
        (tmp_path / name).mkdir()
    (tmp_path / "labels.csv").write_text("")
    (tmp_path / "p.yaml").write_text(
        "prepare: {images: images, labels: labels.csv}\n"
        "pipeline: {out: out, spark: {all: {spark.a: 1}, train: {spark.b: 2}}}"
    )
    assert main(["pipeline", "--config", "p.yaml", "--set", "train.epochs=2", "--spark", "spark.c=3", "--check"]) == 0
    assert commands == []
    assert main(["pipeline", "--config", "p.yaml", "--set", "train.epochs=2", "--spark", "spark.c=3"]) == 0
    summary = json.loads(capfd.readouterr().out)
    assert list(summary) == ["prepare", "train", "score", "evaluate"]
    assert summary["score"] == {"job": "score"}
    assert [command[3] for command in commands] == ["prepare", "train", "score", "evaluate"]
    settings = {"--spark=spark.a=1", "--spark=spark.b=2", "--spark=spark.c=3"}
    assert {"--config=p.yaml", "--set=train.epochs=2", *settings} <= set(commands[1])
    assert "--spark=spark.b=2" not in commands[2]
    # Once it is done, inputs that are gone do not matter.
    (tmp_path / "labels.csv").unlink()
    assert main(["pipeline", "--config", "p.yaml"]) == 0
    assert main(["pipeline", "--config", "p.yaml", "--check"]) == 2


def test_a_pipeline_needs_its_settings(capsys: pytest.CaptureFixture[str]) -> None:
    from cxr_spark.commands.main import main

    assert main(["pipeline"]) == 2
    assert "pipeline needs --config YAML" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("setting", "steps_of_it"),
    [
        ("model.weights={out}/run/model", "prepare,train"),
        ("evaluate.baseline={out}/evaluation", "evaluate"),
        ("explain.boxes={out}/explanation/boxes.csv", "explain"),
        ("prepare.images={out}/explanation/*", "explain"),
        ("prepare.images={out}/*", "explore"),
    ],
)
def test_overlaps_of_every_job_are_told_before_the_first(
    inputs: list[str], tmp_path: Path, setting: str, steps_of_it: str
) -> None:
    given = setting.replace("{out}", f"{tmp_path}/out")
    found = " ".join(problems(*inputs, given, f"pipeline.steps=[{steps_of_it}]", kind=CxrError))
    name = setting.partition("=")[0]
    assert f"{name} file://{tmp_path}/out" in found
    assert "lies in" in found
    assert not (tmp_path / "out").exists()
