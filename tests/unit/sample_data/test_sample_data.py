"""The synthetic set: NIH's layout byte for byte, the same for a seed, honest about what it is, and learnable."""

from __future__ import annotations

import csv
import hashlib
import io
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cxr_spark.commands.main import main
from cxr_spark.config import PrepareSettings
from cxr_spark.datasets.findings import NIH_FINDINGS, NO_FINDING
from cxr_spark.datasets.nih import read_nih_labels
from cxr_spark.datasets.splits import assign_splits
from cxr_spark.sample_data import writer
from cxr_spark.sample_data.anatomy import Anatomy
from cxr_spark.sample_data.cohort import draw_cohort
from cxr_spark.sample_data.drawing import draw_picture
from cxr_spark.sample_data.patterns import PATTERNS, draw, reshaped
from cxr_spark.sample_data.thorax import Scene

IMAGES, SIZE, SEED = 60, 64, 5


def make(out: Path, *options: str, images: int = IMAGES, size: int = SIZE, seed: int = SEED) -> int:
    return main(
        ["sample-data", "--out", str(out), "--images", str(images), "--size", str(size), "--seed", str(seed), *options]
    )


def digests(folder: Path) -> dict[str, str]:
    """Hashes of all files but the job's own records."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith("_")
    }


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("sample") / "set"
    assert make(out) == 0
    return out


def label_frame(folder: Path) -> pd.DataFrame:
    names = ["index", "findings", "visit", "patient", "age", "sex", "view", "width", "height", "dx", "dy"]
    return pd.read_csv(folder / "Data_Entry_2017.csv", header=None, skiprows=1, names=names, dtype=str)


def test_label_file_has_the_format_of_2017(sample: Path) -> None:
    lines = (sample / "Data_Entry_2017.csv").read_bytes().decode().split("\r\n")
    assert lines[-1] == ""
    assert len(lines) == IMAGES + 2
    assert all("\n" not in line for line in lines)
    header, *rows = csv.reader(lines[:-1])
    assert ",".join(header).endswith("OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],")
    assert len(header) == 12
    assert {len(row) for row in rows} == {11}
    frame = label_frame(sample)
    assert frame["index"].str.fullmatch(r"\d{8}_\d{3}\.png").all()
    assert (frame["index"].str[:8] == frame["patient"]).all()
    assert (frame["index"].str[9:12] == frame["visit"]).all()
    assert frame["age"].str.fullmatch(r"\d{3}Y").all()
    assert set(frame["sex"]) == {"M", "F"}
    assert set(frame["view"]) == {"PA", "AP"}
    assert (frame["width"] == str(SIZE)).all()


def test_the_reader_takes_it(sample: Path) -> None:
    labels = read_nih_labels((sample / "Data_Entry_2017.csv").read_bytes(), "Data_Entry_2017.csv")
    assert labels.table.num_rows == IMAGES
    assert {key: count for key, count in labels.notes.items() if key != "rows"} == dict.fromkeys(
        labels.notes.keys() - {"rows"}, 0
    )
    frame = label_frame(sample)
    dummies = frame["findings"].str.get_dummies("|").reindex(columns=list(NIH_FINDINGS), fill_value=0)
    assert np.array_equal(np.stack(labels.table["labels"].to_numpy()), dummies.to_numpy())


def test_patients_have_one_to_six_images_and_one_split(sample: Path) -> None:
    frame = label_frame(sample)
    counts = frame.groupby("patient").size()
    assert counts.between(1, 6).all()
    assert counts.nunique() > 1
    train = (sample / "train_val_list.txt").read_bytes().decode().split("\n")
    test = (sample / "test_list.txt").read_bytes().decode().split("\n")
    assert "" not in train + test  # no newline at the end, as NIH's
    assert sorted(train + test) == sorted(frame["index"])
    assert not {name[:8] for name in train} & {name[:8] for name in test}
    assert (frame["patient"].astype(int) > 30_805).all()  # never taken for one of NIH's patients


def test_images_are_where_nih_has_them_and_say_what_they_are(sample: Path) -> None:
    paths = sorted(sample.rglob("*.png"))
    assert [path.name for path in paths] == sorted(label_frame(sample)["index"])
    assert {str(path.parent.relative_to(sample)) for path in paths} == {"images_001/images"}
    corners = set()
    for path in paths:
        with Image.open(path) as image:
            image.load()
            assert (image.mode, image.size) == ("L", (SIZE, SIZE))
            assert "SYNTHETIC" in image.info["Comment"]
            corners.add(np.asarray(image)[-7:, :37].tobytes())
    assert len(corners) == 1  # the burnt-in mark is the same everywhere: it gives no label away


def test_mark_can_be_read() -> None:
    """The mark is the word: its letters equal those that are drawn here from their description."""
    letters = {
        "S": ["###", "#..", "###", "..#", "###"], "Y": ["#.#", "#.#", ".#.", ".#.", ".#."],
        "N": ["###", "#.#", "#.#", "#.#", "#.#"], "T": ["###", ".#.", ".#.", ".#.", ".#."],
        "H": ["#.#", "#.#", "###", "#.#", "#.#"], "E": ["###", "#..", "##.", "#..", "###"],
        "I": ["###", ".#.", ".#.", ".#.", "###"], "C": ["###", "#..", "#..", "#..", "###"],
    }  # fmt: skip
    expected = [".".join(letters[letter][row] for letter in "SYNTHETIC") for row in range(5)]
    for size, scale in ((64, 1), (256, 2)):
        data, _ = draw_picture(draw_cohort(3, 0)[0], size, 0)
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        corner = pixels[-7 * scale :: scale, : 37 * scale : scale][1:6, 1:36] > 128
        assert ["".join(".#"[int(v)] for v in row) for row in corner] == expected


def test_notices(sample: Path) -> None:
    assert (sample / "SYNTHETIC.txt").read_text().startswith("SYNTHETIC")
    readme = (sample / "README.md").read_text()
    assert "SYNTHETIC" in readme
    for name, count in Counter("|".join(label_frame(sample)["findings"]).split("|")).items():
        assert f"| {name} | {count} |" in readme


def test_boxes_have_nihs_format_and_cover_the_labels(sample: Path) -> None:
    data = (sample / "BBox_List_2017.csv").read_bytes()
    assert data.startswith(b"Image Index,Finding Label,Bbox [x,y,w,h],,,\n")
    boxes = pd.read_csv(io.BytesIO(data), header=None, skiprows=1, names=["index", "finding", "x", "y", "w", "h"])
    assert (boxes[["x", "y"]] >= 0).all(axis=None)
    assert (boxes[["w", "h"]] > 0).all(axis=None)
    for start, length in (("x", "w"), ("y", "h")):
        ends = boxes[start] + boxes[length]
        assert (ends <= 1024).all()
        assert ends.max() > SIZE, "NIH's boxes are in pixels of its 1,024 x 1,024 images, whatever the size of the copy"
    drawn = set(zip(boxes["index"], boxes["finding"].replace("Infiltrate", "Infiltration"), strict=True))
    frame = label_frame(sample)
    labelled = {
        (index, name)
        for index, findings in zip(frame["index"], frame["findings"], strict=True)
        for name in findings.split("|")
        if name != NO_FINDING
    }
    assert drawn == labelled


@pytest.mark.parametrize("finding", PATTERNS)
def test_a_finding_changes_the_picture_inside_its_boxes(finding: str) -> None:
    """Beside the same thorax without it, most of what a finding changes lies in its boxes."""
    for seed in range(4):
        side = (-1, 1)[seed % 2]
        anatomy = Anatomy.of_patient(np.random.default_rng(seed), female=False)
        ill = Scene(256, reshaped(anatomy, {finding: side}), np.random.default_rng(seed))
        boxes = draw(ill, {finding: side}, np.random.default_rng(seed))
        healthy = Scene(256, anatomy, np.random.default_rng(seed))
        change = np.abs(ill.picture - healthy.picture)
        inside = np.zeros_like(change, dtype=bool)
        for name, box in boxes:
            assert name == finding
            left, top = round(box.x * 256), round(box.y * 256)
            inside[top : top + round(box.height * 256), left : left + round(box.width * 256)] = True
        assert change[inside].mean() > 0.02
        assert change[inside].mean() > 3 * change[~inside].mean()


def test_one_sided_findings_are_on_their_side() -> None:
    one_sided = set(PATTERNS) - {"Cardiomegaly", "Emphysema", "Edema", "Fibrosis", "Hernia"}
    for finding in one_sided:
        for side in (-1, 1):
            scene = Scene(128, reshaped(Anatomy(), {finding: side}), np.random.default_rng(1))
            for _, box in draw(scene, {finding: side}, np.random.default_rng(1)):
                assert np.sign(box.x + box.width / 2 - 0.5) == side, finding


def test_sizes_tell_mass_from_nodule_and_a_large_heart_from_a_normal_one() -> None:
    for seed in range(4):
        rng = np.random.default_rng(seed)
        scene = Scene(320, Anatomy(), rng)
        sizes = {name: box.width * 40 for name, box in draw(scene, {"Mass": -1, "Nodule": 1}, rng)}  # cm of 40
        assert sizes["Nodule"] < 3 < sizes["Mass"]
        # Cardiothoracic ratio: over 0.5 is an enlarged heart, on a picture of either kind.
        for view in (Anatomy(), Anatomy().lying()):
            large = reshaped(view, {"Cardiomegaly": 1})
            for anatomy, enlarged in ((view, False), (large, True)):
                scene = Scene(320, anatomy, rng)
                heart = np.flatnonzero((scene.heart_shape() > 0.5).any(axis=0))
                lungs = np.flatnonzero(((scene.lungs[-1] + scene.lungs[1]) > 0.5).any(axis=0))
                assert (np.ptp(heart) / np.ptp(lungs) > 0.5) == enlarged


@pytest.mark.parametrize("seed", range(6))
def test_all_labels_are_in_all_splits_from_300_images_on(seed: int) -> None:
    pictures = draw_cohort(300, seed)
    assert len(pictures) == 300
    lists = {
        test: "\n".join(picture.name for picture in pictures if picture.test is test).encode() for test in (True, False)
    }
    header = "Image Index,Finding Labels"
    rows = [f"{picture.name},{'|'.join(picture.labels)}" for picture in pictures]
    labels = read_nih_labels("\n".join([header, *rows]).encode(), "f")
    defaults = PrepareSettings()
    table = assign_splits(
        labels,
        "official",
        train_list=lists[False],
        test_list=lists[True],
        val_fraction=defaults.val_fraction,
        seed=defaults.seed,
    ).table.to_pandas()
    for split, group in table.groupby("split"):
        assert (np.stack(group["labels"]).sum(axis=0) > 0).all(), split
    assert set(table["split"]) == {"train", "val", "test"}
    assert 0.18 < (table["split"] == "test").mean() < 0.23


def test_findings_come_together_as_in_life() -> None:
    pictures = draw_cohort(3000, 1)
    ill = [set(picture.findings) for picture in pictures if picture.findings]
    assert len(ill) == pytest.approx(0.7 * 3000, abs=3)
    assert 1.4 < np.mean([len(findings) for findings in ill]) < 2.0

    def share(of: str, among: str) -> float:
        return float(np.mean([of in findings for findings in ill if among in findings]))

    assert share("Effusion", "Atelectasis") > 1.5 * share("Effusion", "Hernia")
    counts = Counter(name for findings in ill for name in findings)
    assert counts["Infiltration"] > counts["Pneumonia"] > counts["Hernia"] > 0.03 * 3000


def test_the_same_seed_gives_the_same_bytes_whatever_the_processes(
    sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    again, pooled, other = (tmp_path / name for name in ("again", "pooled", "other"))
    assert make(again) == 0
    assert digests(again) == digests(sample)
    assert make(other, seed=SEED + 1) == 0
    assert digests(other) != digests(sample)
    monkeypatch.setattr(writer, "_PIXELS_PER_PROCESS", 1)
    monkeypatch.setattr(writer, "_cores", lambda: 2)
    assert make(pooled) == 0
    assert digests(pooled) == digests(sample)


def test_finished_work_is_left_alone_and_other_options_are_refused(
    sample: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in sample.rglob("*.png")}
    assert make(sample) == 0
    assert {path: path.stat().st_mtime_ns for path in sample.rglob("*.png")} == before
    assert make(sample, images=IMAGES + 1) == 2
    assert "--overwrite" in capsys.readouterr().err


def test_overwrite_leaves_nothing_of_the_old_set(tmp_path: Path) -> None:
    out = tmp_path / "set"
    assert make(out, images=120) == 0
    assert (out / "images_002").exists()
    assert make(out, "--overwrite", images=10) == 0
    assert len(list(out.rglob("*.png"))) == 10
    assert len(label_frame(out)) == 10


def test_a_killed_run_is_made_whole(sample: Path, tmp_path: Path) -> None:
    out = tmp_path / "set"
    assert make(out, images=120, seed=9) == 0
    for name in ("_done.json", "Data_Entry_2017.csv", "test_list.txt"):
        (out / name).unlink()
    assert make(out) == 0
    assert digests(out) == digests(sample)


@pytest.mark.parametrize("name", ["notes.txt", "images_001/images/00000001_000.png", "Data_Entry_2017.csv"])
def test_what_others_made_is_refused_and_left_alone(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "set"
    (out / name).parent.mkdir(parents=True)
    (out / name).write_bytes(b"mine")
    for options in ((), ("--overwrite",)):
        assert make(out, *options) == 2
        assert f"holds '{name.split('/')[0]}" in capsys.readouterr().err
        assert [path for path in out.rglob("*") if path.is_file()] == [out / name]
        assert (out / name).read_bytes() == b"mine"


def test_a_file_is_no_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "set").write_text("x")
    assert make(tmp_path / "set") == 2
    assert "is a file" in capsys.readouterr().err


@pytest.mark.parametrize(
    "options",
    [
        ("--images", "2"), ("--images", "-5"), ("--images", "0"), ("--images", "1000001"), ("--size", "36"),
        ("--size", "4096"), ("--size", "0"), ("--seed", "-1"),
    ],
)  # fmt: skip
def test_numbers_out_of_range(options: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "set"
    assert main(["sample-data", "--out", str(out), *options]) == 2
    error = capsys.readouterr().err
    assert " ".join(options) in error
    assert "expected" in error
    assert not list(out.rglob("*.png"))


@pytest.mark.parametrize("images", [3, 4, 5, 20])
def test_small_sets_have_every_split(images: int, tmp_path: Path) -> None:
    out = tmp_path / "set"
    assert make(out, images=images, size=37) == 0
    assert len(list(out.rglob("*.png"))) == images
    assert (out / "test_list.txt").read_text()
    assert (out / "train_val_list.txt").read_text()
