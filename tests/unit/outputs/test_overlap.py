"""Inputs inside outputs, and outputs inside inputs: refused by every job, however the paths are written."""

from __future__ import annotations

import argparse
import importlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from cxr_spark.commands.main import COMMANDS, main
from cxr_spark.config import Settings
from cxr_spark.config.section import is_section
from cxr_spark.errors import UsageError
from cxr_spark.outputs.mark import MARK_NAME
from cxr_spark.outputs.overlap import INPUT_OPTIONS, INPUT_SETTINGS, refuse_overlap
from cxr_spark.storage.places import contains, glob_reaches, place_of
from tests.support.small_model import write_model

#: Settings and options of texts that are not paths of inputs: names, choices, numbers, and the outputs themselves.
NOT_INPUTS = {
    "evaluate.index_column",
    "evaluate.prob_prefix",
    *("prepare.positive_class", "prepare.sample", "model.architecture", "train.class_weights", "train.augmentations"),
    *("score.split", "explain.finding", "explain.layers", "model.freeze", "prepare.uncertain", "pipeline.spark"),
    "pipeline.out",
    *(f"prepare.{name}_column" for name in ("image", "patient", "split", "view", "sex", "age", "findings")),
    *("prepare.finding_columns", "prepare.findings_separator", "prepare.patient_pattern", "score.average"),
    *(f"--{name}-column" for name in ("image", "patient", "split", "view", "sex", "age", "findings")),
    *("--finding-columns", "--findings-separator", "--patient-pattern", "--average", "--tta", "--calibrate"),
    *("--out", "--dataset", "--split", "--resize", "--image-index", "--finding", "--layers", "--only", "--task"),
    *("--set", "--master", "--spark", "--architecture", "--backend", "--seed", "--size", "--batch", "--limit"),
    *("--val-fraction", "--test-fraction", "--max-bad-fraction", "--box-side", "--threshold", "--replicates"),
    *("--workers", "--input-size", "source", "--index-column", "--prob-prefix"),
    *("--format", "--columns", "--operating-point"),
    "uri",
}
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


def test_outputs_beside_inputs_are_fine(tmp_path: Path) -> None:
    (tmp_path / "nih" / "images_001").mkdir(parents=True)
    for glob in ("images_*", "images_*/images/*.png", "images_00[1-3]", "images_{001,002}/images"):
        refuse_overlap(f"file://{tmp_path}/nih/prepared", {"--images": [f"file://{tmp_path}/nih/{glob}"]})
    for glob in ("*/*.png", "prepared/*.png", "p{repared,x}/a", "[!p]*"):
        refuse_overlap(f"file://{tmp_path}/nih/prepared/sub", {"--images": [f"file://{tmp_path}/nih/{glob}"]})
    refuse_overlap("file:///runs/1/scores", {"--model": ["file:///runs/1/model"], "--labels": ["file:///runs/l.csv"]})
    refuse_overlap("file:///runs/12", {"--model": ["file:///runs/1"], "--data": [None]})


@pytest.mark.parametrize(
    "glob", ["*", "**/*.png", "*/*/*.png", "prep*", "prepared/s*", "p{repared,x}/sub", "[op]repared", "*/sub/x/*.png"]
)
def test_a_glob_that_would_read_the_output_is_refused(glob: str) -> None:
    with pytest.raises(UsageError, match="next run would read"):
        refuse_overlap("file:///nih/prepared/sub", {"--images": [f"file:///nih/{glob}"]})
    assert glob_reaches(f"hdfs://nn/nih/{glob}", "hdfs://NN:8020/nih/prepared/sub")


def test_links_below_an_input_are_seen(tmp_path: Path) -> None:
    images, out = tmp_path / "images", tmp_path / "out"
    for folder in (images / "deep", out / "in", tmp_path / "other"):
        folder.mkdir(parents=True)
    (images / "deep" / "link").symlink_to(tmp_path / "other")
    given = {"--images": [images.as_uri()]}
    refuse_overlap(out.as_uri(), given)
    (tmp_path / "other" / "more").symlink_to(out / "in")
    with pytest.raises(UsageError, match="holds a symbolic link to"):
        refuse_overlap(out.as_uri(), given)
    (tmp_path / "other" / "more").unlink()
    (out / "1.png").write_bytes(b"")
    (images / "1.png").symlink_to(out / "1.png")
    with pytest.raises(UsageError, match="holds a symbolic link to"):
        refuse_overlap(out.as_uri(), given)
    (images / "1.png").unlink()
    (tmp_path / "2.png").write_bytes(b"")
    (images / "2.png").symlink_to(tmp_path / "2.png")  # its folder holds the output, and only the file is read
    refuse_overlap(out.as_uri(), given)


HADOOP = {
    "fs.defaultFS": "viewfs://Cluster",
    "fs.viewfs.mounttable.Cluster.link./data": "hdfs://pair/warehouse",
    "fs.viewfs.mounttable.Cluster.link./data/deep": "hdfs://other:8020/deep",
    "fs.viewfs.mounttable.Cluster.linkFallback": "hdfs://pair/",
    "dfs.nameservices": "pair,second",
    "dfs.ha.namenodes.pair": "nn1, nn2",
    "dfs.namenode.rpc-address.pair.nn1": "Node1:8020",
    "dfs.namenode.rpc-address.pair.nn2": "node2:9000",
}


@pytest.mark.parametrize(
    ("uri", "place"),
    [
        ("hdfs://NameNode:8020/a", "hdfs://namenode/a"),
        ("hdfs://namenode/a", "hdfs://namenode/a"),
        ("hdfs://namenode:9000/a", "hdfs://namenode:9000/a"),
        ("hdfs://pair/a", "hdfs://pair/a"),
        ("hdfs://node1/a", "hdfs://pair/a"),
        ("hdfs://NODE2:9000/a", "hdfs://pair/a"),
        ("hdfs://node2:8020/a", "hdfs://node2/a"),
        ("viewfs://Cluster/data/x", "hdfs://pair/warehouse/x"),
        ("viewfs://cluster/data", "hdfs://pair/warehouse"),
        ("viewfs:///data/deep/x", "hdfs://other/deep/x"),
        ("viewfs://Cluster/user/me", "hdfs://pair/user/me"),
        ("viewfs://Unknown/x", "viewfs://unknown/x"),
        ("s3a://Bucket/x", "s3://bucket/x"),
        ("s3://bucket/x", "s3://bucket/x"),
    ],
)
def test_one_place_has_one_name(uri: str, place: str) -> None:
    assert place_of(uri, HADOOP) == place


def test_a_view_is_seen_through() -> None:
    with pytest.raises(UsageError, match="lies in --out"):
        refuse_overlap("hdfs://node1/warehouse/out", {"--images": ["viewfs://Cluster/data/out/in"]}, HADOOP)
    with pytest.raises(UsageError, match="next run would read"):
        refuse_overlap("viewfs://Cluster/data/in/out", {"--images": ["hdfs://pair/warehouse/in"]}, HADOOP)
    refuse_overlap("viewfs://Cluster/data/out", {"--images": ["hdfs://other/warehouse"]}, HADOOP)


def test_mount_tables_are_read_from_hadoops_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cxr_spark.runtime.spark_files import hadoop_settings

    def write(name: str, body: str) -> None:
        (tmp_path / name).write_text(
            f'<configuration xmlns:xi="http://www.w3.org/2001/XInclude">{body}</configuration>'
        )

    def entry(name: str, value: str) -> str:
        return f"<property><name>{name}</name><value>{value}</value></property>"

    write("core-site.xml", entry("fs.defaultFS", "viewfs://c") + '<xi:include href="mounts.xml"/>')
    write("mounts.xml", entry("fs.viewfs.mounttable.c.link./a", "hdfs://pair/x"))
    write("hdfs-site.xml", entry("dfs.nameservices", "pair"))
    monkeypatch.setenv("HADOOP_CONF_DIR", str(tmp_path))
    found = hadoop_settings({"spark.hadoop.dfs.ha.namenodes.pair": "nn1", "spark.master": "yarn"})
    assert found == {
        "fs.defaultFS": "viewfs://c",
        "fs.viewfs.mounttable.c.link./a": "hdfs://pair/x",
        "dfs.nameservices": "pair",
        "dfs.ha.namenodes.pair": "nn1",
    }
    assert contains("hdfs://pair/x", "viewfs:///a/b", found)


def leaves(model: type[BaseModel], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, field in model.model_fields.items():
        if is_section(field.annotation):
            yield from leaves(field.annotation, f"{above}{name}.")  # type: ignore[arg-type]
        else:
            yield above + name, field.annotation


def takes_free_text(annotation: Any) -> bool:
    """Whether any text at all is a value, so that it could be a path."""
    return annotation is str or any(takes_free_text(part) for part in get_args(annotation) if part is not Ellipsis)


def test_every_setting_that_could_be_a_path_is_known() -> None:
    """A new setting of a text must be named: as an input, which the jobs then check, or as what it is."""
    texts = {name for name, annotation in leaves(Settings) if takes_free_text(annotation)}
    assert texts - set(INPUT_SETTINGS) - NOT_INPUTS == set()
    assert set(INPUT_SETTINGS) <= texts
    tested = " ".join(text for _, options, _ in RUNS for text in options)
    for name in INPUT_SETTINGS:
        assert f"{name}=" in tested, f"no run above tests {name}"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_that_could_be_a_path_is_known(command: str) -> None:
    parser = argparse.ArgumentParser()
    importlib.import_module(f"cxr_spark.commands.{command.replace('-', '_')}").add_arguments(parser)
    for action in parser._actions:
        name = action.option_strings[0] if action.option_strings else action.dest
        if action.nargs == 0 or action.type is int or action.choices:
            continue
        assert name in INPUT_OPTIONS or name in NOT_INPUTS, f"is {command} {name} an input?"
        if name in INPUT_OPTIONS and name != "--config":
            assert any(job == command and name in options for job, options, _ in RUNS), f"no run tests {command} {name}"
