"""The maps of the explain job beside the worst mistakes in an evaluation's report."""

from __future__ import annotations

import base64
import json
import re
import shutil
from html import unescape
from pathlib import Path

import cv2
import numpy as np
import pytest

from cxr_spark.commands.main import main
from cxr_spark.evaluation.reading.explanations import Explanations
from cxr_spark.evaluation.report.overlays import overlays_of
from cxr_spark.storage.store import Store
from tests.integration.test_evaluate_pictures import FINDINGS, evaluated
from tests.integration.test_evaluate_pictures import inputs as inputs  # the fixture
from tests.support.explanations import write_explanation

_PAIR = re.compile(
    r'<div class="pair"><img src="data:image/jpeg;base64,[^"]+" alt="radiograph, [^"]*">'
    r'(?:<img src="data:image/jpeg;base64,([^"]+)" alt="([^"]*)">|<div class="absent">no map</div>)</div>'
    r"<figcaption><b>[^<]*</b>([^<]*)</figcaption>"
)


def colour_of(name: str, finding: str) -> np.ndarray:
    """A map of one colour of its own, RGB."""
    draw = np.random.default_rng([*name.encode(), *finding.encode()])
    return np.full((64, 64, 3), draw.integers(30, 225, 3), np.uint8)


def wrong_images(metrics: dict) -> list[tuple[str, str]]:
    return [
        (image["image_index"], finding)
        for finding, found in metrics["mistakes"]["findings"].items()
        for kind in ("false_positives", "false_negatives")
        for image in found[kind]
    ]


def maps_on(page: str) -> dict[tuple[str, str], np.ndarray | None]:
    """The mean colour of each map on a page, RGB, by image and finding; None where the page says that there is none."""
    found: dict[tuple[str, str], np.ndarray | None] = {}
    for content, alt, name in _PAIR.findall(page):
        finding = unescape(alt).partition(" of ")[2].partition(",")[0]
        picture = (
            cv2.imdecode(np.frombuffer(base64.b64decode(content), np.uint8), cv2.IMREAD_COLOR) if content else None
        )
        found[unescape(name), finding] = None if picture is None else picture.mean(axis=(0, 1))[::-1]
    return found


@pytest.fixture(scope="module")
def plain(inputs, tmp_path_factory) -> tuple[str, dict]:
    folder = tmp_path_factory.mktemp("plain")
    return evaluated(inputs[0], folder / "out", "--data", str(inputs[0] / "prepared"))


def with_maps(inputs, explained: Path, out: Path, *options: str) -> tuple[str, dict]:
    return evaluated(inputs[0], out, "--data", str(inputs[0] / "prepared"), "--explanations", str(explained), *options)


def test_each_mistake_has_the_map_of_its_own_image_and_finding_beside_it(inputs, plain, tmp_path) -> None:
    wrong = wrong_images(plain[1])
    assert len(wrong) == 6
    others = [(name, FINDINGS[1 - FINDINGS.index(finding)]) for name, finding in wrong]
    maps = {pair: colour_of(*pair) for pair in [*others, *wrong, ("other.png", "Mass")]}
    explained = write_explanation(tmp_path / "explained", maps, method="gradcam++")
    page, metrics = with_maps(inputs, explained, tmp_path / "out")
    found = maps_on(page)
    assert set(found) == set(wrong)
    for pair, colour in found.items():
        np.testing.assert_allclose(colour, colour_of(*pair)[0, 0], atol=4)
    assert page.count('alt="Grad-CAM++ of Mass') == 6
    assert not [warning for warning in metrics["warnings"] if "map" in warning]
    alone, _ = evaluated(inputs[0], tmp_path / "alone", "--explanations", str(explained))
    assert alone.count("data:image/jpeg") == 6
    assert "no picture<" not in alone
    without, _ = with_maps(inputs, explained, tmp_path / "without", "--pictures", "leave_out")
    assert "data:image" not in without


def test_mistakes_that_were_not_explained_are_told_and_names_of_folders_are_escaped(inputs, plain, tmp_path) -> None:
    wrong = wrong_images(plain[1])
    maps = {wrong[0]: colour_of(*wrong[0]), (wrong[1][0], "Edema"): colour_of("x", "y")}
    explained = write_explanation(tmp_path / 'a"><script>alert(1)<!--', maps)
    page, metrics = with_maps(inputs, explained, tmp_path / "out")
    found = [pair for pair, colour in maps_on(page).items() if colour is not None]
    assert found == [wrong[0]]
    assert page.count(">no map<") == 5
    (told,) = [warning for warning in metrics["warnings"] if "map" in warning]
    assert told.startswith("5 of the worst mistakes have no map in ")
    assert page.count("<script") == 1


def test_maps_of_another_model_are_not_shown(inputs, plain, tmp_path, capsys) -> None:
    wrong = wrong_images(plain[1])
    explained = write_explanation(tmp_path / "explained", {p: colour_of(*p) for p in wrong}, model_id="b" * 64)
    page, metrics = with_maps(inputs, explained, tmp_path / "out")
    assert not maps_on(page)
    assert [
        w for w in metrics["warnings"] if "the maps are of model bbbbbbbbbbbb, the predictions of aaaaaaaaaaaa" in w
    ]
    assert "data:image" in page
    done = inputs[0] / "scores" / "_done.json"
    before = done.read_text()
    try:
        done.write_text(json.dumps({"job": "score", "summary": {"findings": list(FINDINGS), "model_id": "a" * 64}}))
        given = ["--predictions", str(inputs[0] / "scores"), "--labels", str(inputs[0] / "labels.csv")]
        capsys.readouterr()
        assert main(["evaluate", *given, "--explanations", str(explained), "--out", f"{tmp_path}/early"]) == 2
        assert "explain the model that made them" in capsys.readouterr().err
        assert not (tmp_path / "early" / "report.html").exists()
    finally:
        done.write_text(before)


def test_one_of_several_models_may_be_explained(tmp_path) -> None:
    opened = Explanations.open(f"file://{write_explanation(tmp_path / 'explained', {})}")
    assert opened.is_of("a" * 64)
    assert opened.is_of("b" * 64 + "+" + "a" * 64)
    assert not opened.is_of("b" * 64)
    assert not opened.is_of(None)


def test_damaged_pictures_are_told_in_a_line_and_the_others_shown(inputs, plain, tmp_path) -> None:
    wrong = wrong_images(plain[1])
    explained = write_explanation(tmp_path / "explained", {pair: colour_of(*pair) for pair in wrong})
    (explained / "0.png").write_bytes((explained / "0.png").read_bytes()[:-300])
    (explained / "1.png").unlink()
    (explained / "2.png").write_bytes(b"GIF89a")
    page, metrics = with_maps(inputs, explained, tmp_path / "out")
    assert {pair for pair, colour in maps_on(page).items() if colour is not None} == set(wrong[3:])
    (told,) = [warning for warning in metrics["warnings"] if "map" in warning]
    assert told.startswith("3 maps cannot be read, such as ")
    assert "\n" not in told


def _no_json(folder: Path) -> None:
    (folder / "localization.json").write_text('{"model_id": ')


def _no_parquet(folder: Path) -> None:
    (folder / "_explained" / "part-00001.parquet").write_bytes(b"PAR1")


def _outside(folder: Path) -> None:
    from tests.support.explanations import pa, pq

    file = folder / "_explained" / "part-00001.parquet"
    table = pq.read_table(file)
    names = pa.array(["../../secret.png"] * table.num_rows)
    pq.write_table(table.set_column(2, "picture", names), file)


def _no_record(folder: Path) -> None:
    shutil.rmtree(folder / "_explained")


def _no_file_of_the_record(folder: Path) -> None:
    (folder / "_explained" / "part-00000.parquet").unlink()


def _unfinished(folder: Path) -> None:
    (folder / "_cxr_spark.json").unlink()


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (_no_json, "is not what explain writes"),
        (_no_parquet, "cannot be read as the record of an explanation"),
        (_outside, "names the picture '../../secret.png'"),
        (_no_record, "lacks files that explain wrote"),
        (_no_file_of_the_record, "part-00000.parquet is gone"),
        (_unfinished, "holds no finished output of explain"),
    ],
)
def test_a_damaged_explanation_is_refused_in_one_line(inputs, plain, tmp_path, capsys, damage, told) -> None:
    explained = write_explanation(tmp_path / "explained", {pair: colour_of(*pair) for pair in wrong_images(plain[1])})
    damage(explained)
    given = ["--predictions", str(inputs[0] / "scores"), "--labels", str(inputs[0] / "labels.csv")]
    capsys.readouterr()
    options = ["--replicates", "0", "--explanations", str(explained), "--out", f"{tmp_path}/out"]
    assert main(["evaluate", *given, *options]) == 3
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("cxr-spark evaluate:")]
    assert told in line
    assert not (tmp_path / "out" / "report.html").exists()


def test_maps_take_no_more_room_than_there_is(tmp_path) -> None:
    draw = np.random.default_rng(3)
    maps = {(f"{i}.png", "Mass"): draw.integers(0, 255, (200, 200, 3), dtype=np.uint8) for i in range(6)}
    opened = Explanations.open(Store(f"file://{write_explanation(tmp_path / 'explained', maps)}").uri)
    order = list(reversed(maps))
    every = overlays_of(opened, order, 160, 10_000_000, {})
    room = sum(len(every.by_mistake[pair]) for pair in order[:3]) + 10
    few = overlays_of(opened, order, 160, room, {})
    assert list(few.by_mistake) == order[:3]
    assert few.left_out == 3
    called = overlays_of(opened, [("1.png", "Nodule/Mass")], 160, 10_000_000, {"Nodule/Mass": "Mass"})
    assert called.by_mistake == {("1.png", "Nodule/Mass"): every.by_mistake["1.png", "Mass"]}
