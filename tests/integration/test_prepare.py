"""The prepare job end to end: real NIH images, hostile folders, repeated and failing runs."""

import csv
import gzip
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from cxr_spark.commands.main import main
from cxr_spark.datasets.findings import NIH_FINDINGS
from cxr_spark.preparation import job
from cxr_spark.tables.prepared import PreparedDataset

ROOT = Path(__file__).resolve().parents[2]
HEADER = [
    "Image Index",
    "Finding Labels",
    "Follow-up #",
    "Patient ID",
    "Patient Age",
    "Patient Gender",
    "View Position",
]
RNG = np.random.default_rng(3)


# --- real images ------------------------------------------------------------------------------------------------------


def nih_truth(real_data, generation, images):
    """The label file read naively by pandas, rows of the given images only."""
    with gzip.open(real_data / "labels" / generation, "rt", newline="") as stream:
        rows = list(csv.reader(stream))[1:]
    frame = pd.DataFrame({"name": r[0], "findings": r[1].split("|"), "patient": int(r[3])} for r in rows)
    tests = set((real_data / "labels" / "test_list.txt").read_text().split())
    frame["test"] = frame["name"].isin(tests)
    return frame[frame["name"].isin(images)], len(frame)


@pytest.mark.parametrize(
    ("folder", "count", "test", "size"), [("images_1024", 160, 37, 224), ("images_64", 4997, 966, 64)]
)
@pytest.mark.parametrize("generation", ["Data_Entry_2017.csv.gz", "Data_Entry_2017_v2020.csv.gz"])
def test_real_images(spark, real_data, tmp_path, folder, count, test, size, generation):
    paths = {path.name: path for path in (real_data / folder).rglob("*.png")}
    truth, labelled = nih_truth(real_data, generation, set(paths))
    assert (len(truth), int(truth["test"].sum())) == (count, test)
    out = tmp_path / "out"
    arguments = ["prepare", "--images", str(real_data / folder), "--labels", str(real_data / "labels" / generation)]
    assert main([*arguments, "--out", str(out), "--size", str(size), "--val-fraction", "0.1"]) == 0

    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["images_found"] == manifest["joined"] == manifest["prepared"] == count
    assert (manifest["labels_found"], manifest["labels_without_image"]) == (labelled, labelled - count)
    assert (manifest["images_without_label"], manifest["quarantined"]) == (0, {})
    assert manifest["findings"] == list(NIH_FINDINGS)
    assert (manifest["size"], manifest["seed"]) == (size, 42)

    # The rows, as Spark's own reader gives them, against the naive reading of the label file.
    rows = spark.read.parquet(f"file://{out}/data")
    assert rows.schema["pixels"].metadata == {"cxr": {"shape": [size, size], "dtype": "uint8"}}
    got = rows.drop("pixels").toPandas().merge(truth, left_on="image_index", right_on="name", validate="1:1")
    assert len(got) == count
    assert ((got["split"] == "test") == got["test"]).all()
    assert (got["patient_id"].astype(int) == got["patient"]).all()
    assert not set(got[got["split"] == "train"]["patient"]) & set(got[got["split"] == "val"]["patient"])
    for row in got.itertuples():
        assert {f for f, v in zip(NIH_FINDINGS, row.labels, strict=True) if v == 1} == set(row.findings)
        assert row.uri == f"file://{paths[row.image_index]}"
    for split, of_split in got.groupby("split"):
        counts = manifest["splits"][split]
        assert (counts["images"], counts["patients"]) == (len(of_split), of_split["patient"].nunique())
        assert counts["findings"] == {f: sum(f in names for names in of_split["findings"]) for f in NIH_FINDINGS}

    # A few images, pixel by pixel, against OpenCV.
    for row in rows.orderBy("image_index").limit(5).collect():
        image = cv2.imread(str(paths[row["image_index"]]), cv2.IMREAD_GRAYSCALE)
        assert (row["height"], row["width"]) == image.shape
        expected = image if size == 64 else cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
        assert np.array_equal(np.frombuffer(row["pixels"], np.uint8).reshape(size, size), expected)

    dataset = PreparedDataset.open(f"file://{out}")
    listed = {file["name"]: file for file in manifest["files"]}
    for split in ("train", "val", "test"):
        names = dataset.files(split)
        assert len(names) >= 4
        assert all(listed[name]["bytes"] == (out / name).stat().st_size for name in names)
        read = [i for n in names for i in pd.read_parquet(out / n, columns=["image_index"])["image_index"]]
        assert read == sorted(read)


# --- made folders -----------------------------------------------------------------------------------------------------


def image(side=48):
    return cv2.imencode(".png", RNG.integers(0, 256, (side, side), dtype=np.uint8))[1].tobytes()


def make_set(folder, images, unlabelled=(), labels_only=()):
    """Writes {path: bytes} and a label file of their base names, one patient an image."""
    for path, content in images.items():
        file = folder / "images" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    names = sorted({path.rpartition("/")[2] for path in images} - set(unlabelled)) + list(labels_only)
    with (folder / "labels.csv").open("w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(HEADER)
        table.writerows([name, "Mass|Effusion", 0, i, "058Y", "M", "PA"] for i, name in enumerate(names, 1))
    return folder


def arguments_for(folder, *options):
    return ["prepare", "--images", str(folder / "images"), "--labels", str(folder / "labels.csv"), "--split", "patient",
            "--out", str(folder / "out"), "--size", "32", *options]  # fmt: skip


def prepare(folder, *options):
    return main(arguments_for(folder, *options))


def manifest_of(folder):
    return json.loads((folder / "out" / "manifest.json").read_text())


def quarantine_of(folder):
    return pd.read_parquet(folder / "out" / "quarantine").sort_values("uri").reset_index(drop=True)


def parquet_files(folder):
    return sorted(path for path in (folder / "out").rglob("*") if "part-" in path.name)


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


# --- failing runs -----------------------------------------------------------------------------------------------------


FAILING_TASK = """
    import sys
    from pyspark import TaskContext
    import cxr_spark.preparation.job as job
    from cxr_spark.commands.main import main

    class FailsOnce(job.PartWriter):
        '''Writes its files and then dies, on the first attempt of every task.'''

        def write(self, part):
            written = super().write(part)
            if TaskContext.get().attemptNumber() == 0:
                raise OSError("injected")
            return written

    job.PartWriter = FailsOnce
    sys.exit(main(sys.argv[1:]))
"""


def start(arguments, script=None, **options):
    command = [
        sys.executable,
        *(["-c", textwrap.dedent(script)] if script else ["-m", "cxr_spark.commands.main"]),
        *arguments,
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, cwd=ROOT, env=environment, text=True, stderr=subprocess.PIPE, **options)


def test_failed_tasks_leave_no_stray_file(tmp_path):
    make_set(tmp_path, {f"{i:02d}.png": image() for i in range(12)} | {"99.png": b""})
    process = start(arguments_for(tmp_path, "--max-bad-fraction", "0.5", "--master", "local[2,2]"), FAILING_TASK)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    manifest = manifest_of(tmp_path)
    assert manifest["prepared"] == 12
    assert manifest["quarantined"] == {"empty": 1}
    assert [str(p.relative_to(tmp_path / "out")) for p in parquet_files(tmp_path)] == sorted(
        file["name"] for file in manifest["files"]
    )
    assert len(pd.read_parquet(tmp_path / "out" / "data")) == 12


def test_a_task_that_keeps_failing_ends_the_run_with_its_reason(spark, tmp_path, monkeypatch, capsys):
    class Fails(job.PartWriter):
        def write(self, part):
            super().write(part)
            raise OSError("injected")

    monkeypatch.setattr(job, "PartWriter", Fails)
    make_set(tmp_path, {f"{i:02d}.png": image() for i in range(6)})
    assert prepare(tmp_path) == 4
    assert "cxr-spark prepare: preparing failed: OSError: injected\n" in capsys.readouterr().err
    assert not (tmp_path / "out" / "manifest.json").exists()
    monkeypatch.undo()
    assert prepare(tmp_path) == 0
    assert len(parquet_files(tmp_path)) == len(manifest_of(tmp_path)["files"])


def test_killed_run_goes_on_with_the_same_command(tmp_path, spark):
    big = cv2.imencode(".png", np.zeros((2000, 2000), dtype=np.uint8))[1].tobytes()  # slow to prepare, small on disk
    make_set(tmp_path, {f"{i:03d}.png": big for i in range(150)})
    process = start(arguments_for(tmp_path), start_new_session=True)
    deadline = time.monotonic() + 200
    while not parquet_files(tmp_path) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert parquet_files(tmp_path), "killed too early to tell"
    assert not (tmp_path / "out" / "manifest.json").exists(), "killed too late to tell"
    assert prepare(tmp_path) == 0
    manifest = manifest_of(tmp_path)
    assert manifest["prepared"] == 150
    assert len(parquet_files(tmp_path)) == len(manifest["files"])
