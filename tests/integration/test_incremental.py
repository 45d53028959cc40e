"""Nightly scoring: what is new or changed, each image exactly once, whatever is killed in between."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cxr_spark.commands.main import main
from cxr_spark.scoring import incremental
from tests.support.small_model import write_model

pytestmark = pytest.mark.usefixtures("spark")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_model(tmp_path / "model")
    for i in range(5):
        write_image(tmp_path / "incoming" / "monday" / f"{i}.png", i)
    return tmp_path


def write_image(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (40, 40), dtype=np.uint8)).save(path)


def score(folder: Path, capsys: pytest.CaptureFixture[str], *options: str, model: str = "model") -> dict:
    capsys.readouterr()
    out = ["--images", str(folder / "incoming"), "--model", str(folder / model), "--out", str(folder / "scores")]
    assert main(["score", "--incremental", *out, *options]) == 0
    return json.loads(capsys.readouterr().out)


def rows(folder: Path) -> pd.DataFrame:
    """What any reader of Parquet finds."""
    files = sorted((folder / "scores").glob("*.parquet"))
    return pd.concat([pd.read_parquet(p) for p in files if not p.name.startswith(("_", "."))])


def times(folder: Path) -> Counter[str]:
    return Counter(rows(folder)["image_index"])


def test_only_new_images_are_scored(folder, capsys):
    assert score(folder, capsys)["images"] == 5
    before = {p: p.stat().st_mtime_ns for p in (folder / "scores").glob("part-*.parquet")}
    write_image(folder / "incoming" / "tuesday" / "5.png", 5)
    told = score(folder, capsys)
    assert (told["images"], told["changed"], told["known"]) == (1, 0, 6)
    assert times(folder) == Counter(f"{i}.png" for i in range(6))
    assert {p: p.stat().st_mtime_ns for p in before} == before
    assert score(folder, capsys)["images"] == 0
    assert main(["evaluate", "--predictions", str(folder / "scores"), "--out", str(folder / "e")]) == 3  # no labels


def test_a_changed_image_replaces_its_row(folder, capsys):
    score(folder, capsys)
    old = rows(folder).set_index("image_index")["probabilities"]
    write_image(folder / "incoming" / "monday" / "2.png", 99)
    assert score(folder, capsys)["changed"] == 1
    new = rows(folder).set_index("image_index")["probabilities"]
    assert sorted(new.index) == sorted(old.index)
    same = {name: np.array_equal(old[name], new[name]) for name in old.index}
    assert same == {f"{i}.png": i != 2 for i in range(5)}


def test_bad_images_are_tried_once_and_do_not_fail_the_night(folder, capsys):
    score(folder, capsys)
    (folder / "incoming" / "bad.png").write_bytes(b"no image")
    write_image(folder / "incoming" / "wednesday" / "3.png", 7)  # the name of one that is scored
    assert score(folder, capsys)["quarantined"] == {"duplicate_name": 1, "not_an_image": 1}
    assert score(folder, capsys)["quarantined"] == {}
    assert times(folder) == Counter(f"{i}.png" for i in range(5))
    quarantine = pd.read_parquet(folder / "scores" / "_quarantine")
    assert sorted(quarantine["reason"]) == ["duplicate_name", "not_an_image"]
    write_image(folder / "incoming" / "bad.png", 8)
    assert score(folder, capsys)["images"] == 1
    assert list(pd.read_parquet(folder / "scores" / "_quarantine")["reason"]) == ["duplicate_name"]


def test_another_model_scores_all(folder, capsys):
    score(folder, capsys)
    write_model(folder / "next", seed=4)
    assert score(folder, capsys, model="next")["images"] == 5
    assert rows(folder).groupby("model_id").size().tolist() == [5, 5]
    write_model(folder / "other", findings=("Mass",))
    out = ["--images", str(folder / "incoming"), "--model", str(folder / "other"), "--out", str(folder / "scores")]
    assert main(["score", "--incremental", *out]) == 2


@pytest.mark.parametrize("where", ["before the commit", "after the commit"])
def test_a_run_that_dies_half_way_loses_nothing(folder, capsys, monkeypatch, where):
    score(folder, capsys)
    write_image(folder / "incoming" / "monday" / "2.png", 99)
    write_image(folder / "incoming" / "monday" / "9.png", 9)

    def die(*_: object) -> None:
        raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(
            *((incremental.Ledger, "commit") if where.startswith("before") else (incremental, "_publish")), die
        )
        options = ["--images", str(folder / "incoming"), "--model", str(folder / "model")]
        assert main(["score", "--incremental", *options, "--out", str(folder / "scores")]) == 4
        assert times(folder) == Counter(f"{i}.png" for i in range(5))
    if where == "after the commit":
        (folder / "scores" / "_done.json").unlink()  # the next thing that the killed run had done
    capsys.readouterr()
    assert main(["score", "--incremental", *options, "--out", str(folder / "scores"), "--tta", "flip"]) == 2
    assert "other settings" in (told := capsys.readouterr().err)
    assert '(tta was null, is "flip")' in told
    score(folder, capsys)
    assert times(folder) == Counter([*(f"{i}.png" for i in range(5)), "9.png"])
    left = [p.name for p in (folder / "scores").rglob("*") if p.name == "_staged" or p.name.startswith("_lock")]
    assert left == []
    assert score(folder, capsys)["images"] == 0


def test_a_touched_image_is_changed(folder, capsys):
    score(folder, capsys)
    os.utime(folder / "incoming" / "monday" / "1.png", (1, 1))
    assert score(folder, capsys)["changed"] == 1
    assert times(folder)["1.png"] == 1


def test_it_is_for_raw_images(folder, capsys):
    out = ["--model", str(folder / "model"), "--out", str(folder / "scores")]
    assert main(["score", "--incremental", "--data", str(folder), *out]) == 2
    assert "--images" in capsys.readouterr().err
