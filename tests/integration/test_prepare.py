"""The prepare job on made folders: what it takes, what it sets aside and what it refuses."""

from __future__ import annotations

import csv
import json

import cv2
import numpy as np
import pandas as pd
import pytest

from cxr_spark.commands.main import main
from tests.support.nih_folders import HEADER, RNG, image, make_set, manifest_of, parquet_files, prepare


def quarantine_of(folder):
    return pd.read_parquet(folder / "out" / "quarantine").sort_values("uri").reset_index(drop=True)


def test_hostile_folder(spark, tmp_path):
    """Everything that can be wrong with a file at once: all of it is accounted for."""
    good = image()
    jpeg = cv2.imencode(".jpg", RNG.integers(0, 256, (40, 60), dtype=np.uint8))[1].tobytes()
    images = {f"good/{i:02d}.png": image() for i in range(20)}
    images |= {
        "good/ü 100%25 [x].png": good,
        "good/UPPER.PNG": good,
        "good/photo.jpg": jpeg,
        "bad/empty.png": b"",
        "bad/text.png": b"not an image at all",
        "bad/cut.png": good[:-20],
        "bad/cut.jpg": jpeg[:-20],
        "bad/flipped.png": good[:100] + bytes([good[100] ^ 4]) + good[101:],
        "bad/bomb.png": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\x7f\xff\xff\xff\x7f\xff\xff\xff\x08\0\0\0\0\xe7\x96\xcd\x0b",
        "twice/a/same.png": good,
        "twice/b/same.png": good,
        "stranger.png": good,
        "_hidden/h.png": good,
        "good/._00.png": b"a Mac's resource fork",
    }
    make_set(tmp_path, images, unlabelled=["stranger.png", "h.png", "._00.png"], labels_only=["lost.png", "gone.png"])
    (tmp_path / "images" / "README.txt").write_text("not counted as an image")
    assert prepare(tmp_path, "--max-bad-fraction", "0.5") == 0

    manifest = manifest_of(tmp_path)
    reasons = {"empty": 1, "not_an_image": 1, "truncated": 2, "corrupt": 2, "duplicate_name": 2, "hidden_name": 2}
    assert manifest["quarantined"] == reasons
    assert manifest["images_found"] == len(images)
    assert manifest["ignored_files"] == 1
    assert manifest["prepared"] == 23
    assert manifest["images_without_label"] == 1
    assert manifest["labels_without_image"] == 2
    assert manifest["joined"] == 23 + sum(reasons.values()) - reasons["hidden_name"]
    assert manifest["bad_fraction"] == pytest.approx(7 / 30)  # seven labelled images are lost, same.png is one
    assert sum(split["images"] for split in manifest["splits"].values()) == 23

    rows = spark.read.parquet(f"file://{tmp_path}/out/data").toPandas()
    assert {"ü 100%25 [x].png", "UPPER.PNG", "photo.jpg"} < set(rows["image_index"])
    assert (rows["uri"] == [f"file://{tmp_path}/images/good/{name}" for name in rows["image_index"]]).all()
    quarantine = quarantine_of(tmp_path)
    assert dict(
        zip(quarantine["uri"].str.removeprefix(f"file://{tmp_path}/images/"), quarantine["reason"], strict=True)
    ) == {
        "_hidden/h.png": "hidden_name",
        "bad/bomb.png": "corrupt",
        "bad/cut.jpg": "truncated",
        "bad/cut.png": "truncated",
        "bad/empty.png": "empty",
        "bad/flipped.png": "corrupt",
        "bad/text.png": "not_an_image",
        "good/._00.png": "hidden_name",
        "twice/a/same.png": "duplicate_name",
        "twice/b/same.png": "duplicate_name",
    }


@pytest.mark.parametrize("dataset", ["nih", "folder"])
def test_files_of_one_name_in_two_folders_are_told_and_neither_is_taken(spark, tmp_path, capsys, dataset):
    roots = ("first", "second")
    for number in range(12):
        folder = tmp_path / roots[number % 2] / ("A" if number < 6 else "B")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number:02d}.png").write_bytes(image())
    for root in roots:
        (tmp_path / root / "A" / "same.png").write_bytes(image())
    options = [text for root in roots for text in ("--images", str(tmp_path / root))]
    if dataset == "nih":
        names = [*(f"{number:02d}.png" for number in range(12)), "same.png"]
        with (tmp_path / "labels.csv").open("w", newline="") as stream:
            csv.writer(stream).writerows([HEADER, *([name, "Mass", 0, name, "058Y", "M", "PA"] for name in names)])
        options += ["--labels", str(tmp_path / "labels.csv")]
    options += ["--dataset", dataset, "--split", "patient", "--size", "32", "--out", str(tmp_path / "out")]
    assert main(["prepare", *options]) == 3
    assert "1 of 13 labelled images are bad (duplicate_name 2)" in capsys.readouterr().err
    assert main(["prepare", *options, "--max-bad-fraction", "0.1"]) == 0
    assert "WARNING" in (told := capsys.readouterr().err)
    assert "2 images were set aside (duplicate_name 2)" in told
    manifest = manifest_of(tmp_path)
    assert (manifest["prepared"], manifest["quarantined"]) == (12, {"duplicate_name": 2})
    assert quarantine_of(tmp_path)["uri"].tolist() == [f"file://{tmp_path}/{root}/A/same.png" for root in roots]
    assert not pd.read_parquet(tmp_path / "out" / "data")["image_index"].str.contains("same").any()


def test_too_many_bad_images_stop_the_job_and_a_later_run_works(spark, tmp_path, capsys):
    images = {f"{i:02d}.png": image() for i in range(20)} | {"20.png": b"broken", "21.png": b""}
    make_set(tmp_path, images)
    assert prepare(tmp_path) == 3
    told = capsys.readouterr().err
    assert "2 of 22 labelled images are bad (empty 1, not_an_image 1)" in told
    assert all(
        f"{tmp_path}/images/{name} ({why}" in told for name, why in (("20.png", "not_an_im"), ("21.png", "empty"))
    )
    assert not (tmp_path / "out" / "manifest.json").exists()
    assert {path.parent.name for path in parquet_files(tmp_path)} == {"quarantine"}
    assert sorted(quarantine_of(tmp_path)["reason"]) == ["empty", "not_an_image"]
    assert json.loads((tmp_path / "out" / "_status.json").read_text())["exit_status"] == 3

    for name in ("20.png", "21.png"):
        (tmp_path / "images" / name).write_bytes(image())
    assert prepare(tmp_path) == 0
    assert manifest_of(tmp_path)["prepared"] == 22
    assert not [path for path in parquet_files(tmp_path) if path.parent.name == "quarantine"]


def test_finished_work_is_left_alone_and_other_settings_are_refused(spark, tmp_path):
    make_set(tmp_path, {f"{i:02d}.png": image() for i in range(6)})
    assert prepare(tmp_path) == 0
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*") if path.name != "_status.json"}
    assert prepare(tmp_path) == 0
    assert before == {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("*") if p.name != "_status.json"}
    assert prepare(tmp_path, "--seed", "7") == 2
    assert prepare(tmp_path, "--seed", "7", "--overwrite") == 0
    assert manifest_of(tmp_path)["seed"] == 7
    assert len(parquet_files(tmp_path)) == len(manifest_of(tmp_path)["files"])
    (tmp_path / "images" / "05.png").write_bytes(image(50))
    assert prepare(tmp_path, "--seed", "7") == 2  # an input has changed


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        (["--images", "/no/such/folder"], 3, "no file matches file:///no/such/folder"),
        (["--labels", "/no/such.csv"], 3, "--labels file:///no/such.csv: no such file"),
        (["--split", "official"], 2, "--train-list"),
        (["--split", "column"], 3, "'split'"),
        (["--split", "thirds"], 2, "prepare.split='thirds'"),
        (["--size", "5"], 2, "prepare.size='5'"),
        (["--size", "big"], 2, "prepare.size='big'"),
        (["--resize", "stretch"], 2, "prepare.resize='stretch'"),
        (["--dataset", "mimic"], 2, "prepare.dataset='mimic'"),
        (["--val-fraction", "1"], 2, "prepare.val_fraction='1'"),
        (["--max-bad-fraction", "-1"], 2, "prepare.max_bad_fraction='-1'"),
    ],
)
def test_bad_input_is_one_clear_line(spark, tmp_path, capsys, options, status, message):
    make_set(tmp_path, {"a.png": image(), "b.png": image(), "c.png": image()})
    given = {"--images": str(tmp_path / "images"), "--labels": str(tmp_path / "labels.csv"), "--split": "patient"}
    given |= dict([options])
    arguments = [part for pair in given.items() for part in pair]
    assert main(["prepare", *arguments, "--out", str(tmp_path / "out")]) == status
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("cxr-spark prepare:")]
    assert len(errors) == 1
    assert message in errors[0]
    assert not (tmp_path / "out" / "data").exists()


def test_missing_options_and_inputs_inside_the_output(spark, tmp_path, capsys):
    make_set(tmp_path, {"a.png": image()})
    assert main(["prepare", "--out", str(tmp_path / "out")]) == 2
    assert "--images is missing" in capsys.readouterr().err
    assert prepare(tmp_path, "--out", str(tmp_path), "--overwrite") == 2
    assert "choose a folder of its own" in capsys.readouterr().err
    assert (tmp_path / "images" / "a.png").exists()


def test_no_image_has_a_label(spark, tmp_path, capsys):
    make_set(tmp_path, {"a.png": image()}, unlabelled=["a.png"], labels_only=["00000001_000.png", "00000002_000.png"])
    assert prepare(tmp_path) == 3
    error = capsys.readouterr().err
    assert "'a.png'" in error
    assert "'00000001_000.png'" in error


def test_official_lists_are_found_beside_the_labels(spark, tmp_path):
    make_set(tmp_path, {f"{i}.png": image() for i in range(6)})
    (tmp_path / "train_val_list.txt").write_text("0.png\n1.png\n2.png\n3.png")
    (tmp_path / "test_list.txt").write_text("4.png\nelsewhere.png")
    assert prepare(tmp_path, "--split", "official", "--val-fraction", "0.25") == 0
    manifest = manifest_of(tmp_path)
    assert {split: counts["images"] for split, counts in manifest["splits"].items()} == {
        "train": 3,
        "val": 1,
        "test": 1,
    }
    assert manifest["images_in_no_split"] == 1  # 5.png
    assert manifest["joined"] == 6
    assert manifest["notes"]["images_in_no_list"] == 1
    assert manifest["sources"]["train_list"] == f"file://{tmp_path}/train_val_list.txt"
