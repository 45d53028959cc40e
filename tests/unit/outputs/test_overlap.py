"""Inputs inside outputs, and outputs inside inputs: refused by every job, however the paths are written."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from cxr_spark.commands.main import main
from cxr_spark.outputs.mark import MARK_NAME
from tests.support.small_model import write_model

#: Command, options of its inputs (`{}` stands for the place under test), and the option under test.
RUNS: list[tuple[str, list[str], str]] = [
    ("prepare", ["--images", "{}"], "--images"),
    ("prepare", ["--images", "{}/*.png"], "--images"),
    ("prepare", ["--images", "/no/images", "--labels", "{}/labels.csv"], "--labels"),
    ("prepare", ["--images", "/no/images", "--train-list", "{}/a.txt", "--labels", "/no/l.csv"], "--train-list"),
    ("prepare", ["--images", "/no/images", "--test-list", "{}/a.txt", "--labels", "/no/l.csv"], "--test-list"),
    ("prepare", ["--set", "prepare.images={}"], "--images"),
    ("prepare", ["--images", "/no/images", "--set", "prepare.labels={}/labels.csv"], "--labels"),
    ("prepare", ["--images", "/no/images", "--set", "prepare.train_list={}/a.txt"], "--train-list"),
    ("prepare", ["--images", "/no/images", "--set", "prepare.test_list={}/a.txt"], "--test-list"),
    ("train", ["--data", "{}"], "--data"),
    ("train", ["--data", "/no/data", "--set", "model.weights={}/model"], "model.weights"),
    ("train", ["--data", "/no/data", "--set", "train.soft_labels={}"], "train.soft_labels"),
    ("train", ["--data", "/no/data", "--set", "train.mlflow.uri=file://{}"], "train.mlflow.uri"),
    ("train", ["--data", "/no/data", "--set", "train.mlflow.uri=sqlite:///{}"], "train.mlflow.uri"),
    ("score", ["--data", "{}", "--model", "/no/model"], "--data"),
    ("score", ["--data", "/no/data", "--model", "/no/model", "--calibration-data", "{}"], "--calibration-data"),
    ("score", ["--data", "/no/data", "--model", "/no/m", "--set", "score.calibration_data={}"], "--calibration-data"),
    ("score", ["--data", "/no/data", "--model", "/no/model", "--thresholds", "{}"], "--thresholds"),
    ("score", ["--data", "/no/data", "--model", "/no/m", "--set", "score.thresholds={}"], "--thresholds"),
    ("score", ["--images", "{}", "--model", "/no/model"], "--images"),
    ("score", ["--images", "{}", "--model", "/no/model", "--incremental"], "--images"),
    ("score", ["--images", "/no/images", "--model", "{}/model"], "--model"),
    ("evaluate", ["--predictions", "{}"], "--predictions"),
    ("evaluate", ["--predictions", "/no/scores", "--labels", "{}/labels.csv"], "--labels"),
    ("evaluate", ["--predictions", "/no/scores", "--baseline", "{}"], "--baseline"),
    ("evaluate", ["--predictions", "/no/scores", "--set", "evaluate.baseline={}"], "--baseline"),
    ("evaluate", ["--predictions", "/no/scores", "--data", "{}"], "--data"),
    ("evaluate", ["--predictions", "/no/scores", "--set", "evaluate.data={}"], "--data"),
    ("evaluate", ["--predictions", "/no/scores", "--explanations", "{}"], "--explanations"),
    ("evaluate", ["--predictions", "/no/scores", "--set", "evaluate.explanations={}"], "--explanations"),
    ("evaluate", ["--predictions", "/no/p", "--labels", "/no/l", "--test-list", "{}/a.txt"], "--test-list"),
    (
        "evaluate",
        ["--predictions", "/no/p", "--labels", "/no/l", "--test-list", "/no/t", "--train-list", "{}/a.txt"],
        "--train-list",
    ),
    (
        "evaluate",
        ["--predictions", "/no/p", "--labels", "/no/l", "--set", "evaluate.test_list={}/a.txt"],
        "--test-list",
    ),
    (
        "evaluate",
        [
            *("--predictions", "/no/p", "--labels", "/no/l", "--test-list", "/no/t"),
            *("--set", "evaluate.train_list={}/a.txt"),
        ],
        "--train-list",
    ),
    ("explain", ["--data", "{}", "--model", "/no/model"], "--data"),
    ("explain", ["--images", "{}", "--model", "/no/model"], "--images"),
    ("explain", ["--images", "/no/images", "--model", "{}"], "--model"),
    ("explain", ["--images", "/no/images", "--model", "/no/model", "--boxes", "{}/boxes.csv"], "--boxes"),
    ("explain", ["--images", "/no/images", "--model", "/no/m", "--set", "explain.boxes={}/boxes.csv"], "--boxes"),
    ("explain", ["--images", "/no/images", "--model", "/no/model", "--image-list", "{}/a.txt"], "--image-list"),
    ("explain", ["--data", "/no/data", "--model", "/no/m", "--set", "explain.image_list={}/a.txt"], "--image-list"),
    ("explore", ["--data", "{}"], "--data"),
]
CONFIGURED = {
    "prepare": ["--images", "/no/images"],
    "train": ["--data", "/no/data"],
    "score": ["--data", "/no/data", "--model", "/no/model"],
    "evaluate": ["--predictions", "/no/scores"],
    "explain": ["--data", "/no/data", "--model", "/no/model"],
    "explore": ["--data", "/no/data"],
    "sample-data": ["--images", "3"],
    "benchmark": [],
}


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A folder with what a user and an unfinished job left in it."""
    folder = tmp_path / "out"
    for name in ("in/1.png", "in/labels.csv", "in/a.txt", "in/boxes.csv", "in/model/metadata.json", "notes.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"precious")
    return folder


def mark(folder: Path, job: str) -> None:
    (folder / MARK_NAME).write_text(json.dumps({"job": job, "state": "open"}))


def written(folder: Path, way: str) -> str:
    """Writes a path in another way."""
    match way:
        case "link":
            link = folder.parent.parent / "link"
            link.symlink_to(folder.parent)
            return f"{link}/{folder.name}"
        case "dots":
            return f"{folder}/../{folder.name}/."
        case "file:///":
            return folder.as_uri()
        case "FILE:/":
            return f"FILE:{folder}"
        case "relative":
            return os.path.relpath(folder)
    return str(folder)


@pytest.mark.parametrize("overwrite", [True, False])
@pytest.mark.parametrize(("job", "options", "option"), RUNS, ids=[f"{job} {' '.join(o)}" for job, o, _ in RUNS])
def test_an_input_in_the_output_is_refused(
    job: str, options: list[str], option: str, overwrite: bool, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mark(out, job)
    before = files(out)
    given = [text.replace("{}", str(out / "in")) for text in options]
    assert main([job, *given, "--out", str(out), *(["--overwrite"] if overwrite else [])]) == 2
    error = capsys.readouterr().err
    assert f"{option} file://{out}/in" in error
    assert f"lies in --out file://{out}: choose a folder of its own" in error
    assert files(out) == before


@pytest.mark.parametrize(("job", "options", "option"), RUNS, ids=[f"{job} {' '.join(o)}" for job, o, _ in RUNS])
def test_an_output_in_an_input_is_refused(
    job: str, options: list[str], option: str, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = files(out)
    inside = out / "in" / ("1.png" if "*" in "".join(options) else "new")
    for name in ("labels.csv", "a.txt", "boxes.csv", "model"):
        if any(text.endswith(f"{{}}/{name}") for text in options):
            inside = out / "in" / name / "new"
    given = [text.replace("{}", str(out / "in")) for text in options]
    assert main([job, *given, "--out", str(inside)]) == 2
    error = capsys.readouterr().err
    assert f"--out file://{inside} lies in {option} file://{out}/in" in error or "lies in --out" in error
    assert files(out) == before
    assert not (out / "in" / "new").exists()


@pytest.mark.parametrize("job", CONFIGURED)
def test_the_settings_file_is_an_input_too(job: str, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mark(out, job)
    (out / "settings.yaml").write_text("train: {epochs: 1}\n")
    before = files(out)
    given = ["--config", str(out / "settings.yaml"), "--overwrite", "--out", str(out)]
    assert main([job, *CONFIGURED[job], *given]) == 2
    assert "--config" in capsys.readouterr().err
    assert files(out) == before


@pytest.mark.parametrize("ways", [(a, b) for a in ("link", "dots", "file:///", "FILE:/", "relative", "") for b in "oi"])
def test_however_paths_are_written(ways: tuple[str, str], out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    way, which = ways
    mark(out, "prepare")
    before = files(out)
    output, images = str(out), str(out / "in")
    if which == "o":
        output = written(out, way)
    else:
        images = written(out / "in", way)
    assert main(["prepare", "--overwrite", "--images", images, "--out", output]) == 2
    assert "overlap" in (error := capsys.readouterr().err) or "lies in --out" in error
    assert files(out) == before


def test_the_commands_that_once_deleted_their_inputs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each of them once ended with the inputs gone."""
    out, run = tmp_path / "out", tmp_path / "run"
    for i in range(6):
        (out / "images").mkdir(parents=True, exist_ok=True)
        (out / "images" / f"{i}.png").write_bytes(b"an image")
    write_model(out / "model")
    write_model(run / "model")
    (run / "data" / "data" / "split=train").mkdir(parents=True)
    (run / "data" / "manifest.json").write_text("{}")
    (tmp_path / "link").symlink_to(out)
    before = files(tmp_path)
    images, model = str(out / "images"), str(tmp_path / "run" / "model")
    for job, folder, options in (
        ("score", out, ["--images", images, "--model", model, "--out", str(out)]),
        ("score", out, ["--overwrite", "--images", images, "--model", model, "--out", str(out)]),
        ("score", out, ["--overwrite", "--data", str(run), "--model", str(out / "model"), "--out", str(out)]),
        ("train", run, ["--overwrite", "--data", "/d", "--out", str(run), "--set", f"model.weights={run}/model"]),
        ("train", run, ["--overwrite", "--data", str(run / "data"), "--out", str(run)]),
        ("prepare", out, ["--overwrite", "--images", images, "--out", str(tmp_path / "link")]),
        ("prepare", out, ["--overwrite", "--images", f"{tmp_path}/link/images", "--out", str(out)]),
    ):
        mark(folder, job)
        assert main([job, *options]) == 2, (job, options)
        (folder / MARK_NAME).unlink()
        assert files(tmp_path) == before
    assert capsys.readouterr().err.count("choose a folder of its own") == 7
