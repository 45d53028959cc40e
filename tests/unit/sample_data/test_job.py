"""The sample-data job: the same bytes for the same seed, finished work, and what is refused."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from cxr_spark.commands.main import main
from cxr_spark.sample_data import writer
from tests.support.sample_sets import IMAGES, SEED, label_frame, make


def digests(folder: Path) -> dict[str, str]:
    """Hashes of all files but the job's own records."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith("_")
    }


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
