"""The explain job on Spark, from the command line."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from cxr_spark.commands.main import main
from cxr_spark.explanation.names import file_name
from cxr_spark.models.folder import load_model
from cxr_spark.scoring.predict import predict
from cxr_spark.storage.store import Store
from tests.support.dicom_files import dicom_bytes
from tests.support.explaining import IMAGES, LEFT, SIDE, TOP, explain, rows, write_set


@pytest.fixture(scope="module")
def folder(spark, tmp_path_factory) -> Path:
    return write_set(tmp_path_factory.mktemp("explain"))


@pytest.fixture(scope="module")
def explained(folder) -> Path:
    """All images, of one finding, with the maps of two layers, and boxes of every kind."""
    assert (
        explain(folder, "out", "--finding=Mass", f"--boxes={folder}/boxes.csv", "--layers=features.1,features.8") == 0
    )
    return folder / "out"


def test_one_overlay_an_image_with_the_image_at_the_left(folder, explained) -> None:
    images = rows(folder)
    assert {path.name for path in explained.glob("*.png")} == {file_name(row["image_index"]) for row in images}
    pixels = np.stack([np.frombuffer(row["pixels"], np.uint8).reshape(32, 32) for row in images])
    for i, row in enumerate(images):
        page = np.asarray(Image.open(explained / file_name(row["image_index"])).convert("L"))
        shown = page[TOP : TOP + SIDE, LEFT : LEFT + SIDE].reshape(32, 16, 32, 16)[:, 7:9, :, 7:9].mean(axis=(1, 3))
        differences = np.median(np.abs(shown - pixels), axis=(1, 2))
        assert differences.argmin() == i
        assert differences[i] < 4  # what interpolation makes of noise


def test_a_boxed_finding_has_a_row_of_its_own_with_its_box(folder, explained) -> None:
    """The second image has boxes of Mass, which was asked for, and of Effusion: two rows, each with its own box."""
    names = [row["image_index"] for row in rows(folder)]
    page = np.asarray(Image.open(explained / file_name(names[1])).convert("RGB")).astype(int)
    assert len(np.asarray(Image.open(explained / file_name(names[0])))) == TOP + SIDE + 34
    second = len(page) - 34 - SIDE
    assert second >= TOP + SIDE + 34
    red = (page[:, LEFT : LEFT + SIDE] == (0xD5, 0x5E, 0x00)).all(axis=2)
    assert red[TOP : TOP + SIDE, :3].mean() > 0.9  # the box of Mass is the whole image
    of_effusion = np.argwhere(red[second : second + SIDE])
    np.testing.assert_allclose([*of_effusion.min(axis=0), *of_effusion.max(axis=0)], [500, 500, 504, 504], atol=4)


def test_the_page_lists_each_picture_with_probability_and_label(folder, explained) -> None:
    page = (explained / "index.html").read_text()
    images = rows(folder)
    loaded = load_model(Store(f"{folder}/model"))
    pixels = np.stack([np.frombuffer(row["pixels"], np.uint8).reshape(32, 32) for row in images])
    probabilities = predict(loaded.module, loaded.metadata, pixels)[:, 1]
    found = re.findall(r'data-finding="Mass" data-verdict="(\w+)".*?<b>Mass</b> ([\d.]+)', page)
    assert [float(share) for _, share in found] == pytest.approx(100 * probabilities, abs=0.051)
    names = {(True, True): "found", (True, False): "false_alarm", (False, True): "missed", (False, False): "not_called"}
    labelled = [row["labels"][1] == 1 for row in images]
    assert [told for told, _ in found] == [
        names[bool(p >= 0.5), label] for p, label in zip(probabilities, labelled, strict=True)
    ]


def test_contact_sheets_of_the_layers(explained) -> None:
    assert len(list((explained / "layers" / "features.1").glob("*.png"))) == IMAGES
    assert len(list((explained / "layers" / "features.8").glob("*.png"))) == IMAGES


def test_nothing_is_written_outside(folder, explained) -> None:
    assert not (folder / "CheXpert").exists()
    assert not (folder.parent / "CheXpert").exists()


def test_localization_counts_every_box_once(explained) -> None:
    found = json.loads((explained / "localization.json").read_text())
    assert (found["boxes_listed"], found["boxes_met"], found["boxes_of_other_images"]) == (5, 3, 1)
    assert found["boxes_of_other_findings"] == {"Infiltration": 1}
    assert found["findings"]["Mass"]["images"] == 2
    mass = found["findings"]["Mass"]
    assert mass["images_without_evidence"] < 2
    assert mass["pointing_game_hits"] == 2 - mass["images_without_evidence"]
    assert mass["pointing_game_by_chance"] == 1
    assert found["findings"]["Effusion"]["pointing_game_hits"] == 0  # no cell's middle is in that corner
    assert found["threshold"] == pytest.approx(180 / 255)


def test_finished_work_is_left_alone_and_other_work_refused(folder, explained, capsys) -> None:
    before = {path: path.stat().st_mtime_ns for path in explained.rglob("*.png")}
    options = ("--finding=Mass", f"--boxes={folder}/boxes.csv", "--layers=features.1,features.8")
    assert explain(folder, "out", *options) == 0
    assert {path: path.stat().st_mtime_ns for path in explained.rglob("*.png")} == before
    assert explain(folder, "out", "--finding=Effusion") == 2
    assert "--overwrite" in capsys.readouterr().err


def test_only_boxed_and_limit(folder, explained) -> None:
    assert explain(folder, "boxed", f"--boxes={folder}/boxes.csv", "--only=boxed") == 0
    names = [row["image_index"] for row in rows(folder)]
    assert {path.name for path in (folder / "boxed").glob("*.png")} == {file_name(name) for name in names[:2]}
    assert explain(folder, "few", "--limit=3") == 0
    assert {path.name for path in (folder / "few").glob("*.png")} == {file_name(name) for name in names[:3]}


def test_raw_images_and_broken_ones(folder, capsys) -> None:
    raw = folder / "raw"
    raw.mkdir()
    image = np.random.default_rng(3).integers(0, 255, (80, 60), dtype=np.uint8)
    Image.fromarray(image).save(raw / "good.png")
    data = io.BytesIO()
    Image.fromarray(image).save(data, "PNG")
    (raw / "broken.png").write_bytes(data.getvalue()[:-400])
    line = ["explain", "--images", f"{raw}", "--model", f"{folder}/model", "--out", f"{folder}/raw_out"]
    assert main([*line, "--method=gradcam++"]) == 0
    assert json.loads((folder / "raw_out" / "localization.json").read_text())["method"] == "gradcam++"
    assert "1 by Grad-CAM++" in (folder / "raw_out" / "index.html").read_text()
    assert [path.name for path in (folder / "raw_out").glob("*.png")] == ["good.png"]
    quarantine = pq.read_table(folder / "raw_out" / "_quarantine")
    assert quarantine["image_index"].to_pylist() == ["broken.png"]
    page = np.asarray(Image.open(folder / "raw_out" / "good.png").convert("L")).astype(int)
    shown = page[TOP : TOP + SIDE, LEFT : LEFT + SIDE]
    wanted = np.asarray(Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BILINEAR)).astype(int)
    assert np.abs(shown - wanted).mean() < 2  # of the raw file's own sharpness, not of the network's 32 pixels


def test_raw_dicom_images_pass_the_gate_of_the_score_job(folder, capsys) -> None:
    raw = folder / "dicom"
    raw.mkdir()
    values = np.random.default_rng(4).integers(0, 255, (40, 40), dtype=np.uint8)
    for name, modality, part, view in (
        ("chest", "DX", "CHEST", "PA"), ("lateral", "DX", "CHEST", "LL"),
        ("hand", "DX", "HAND", ""), ("ct", "CT", "", ""),
    ):  # fmt: skip
        told = {"Modality": modality, "BodyPartExamined": part, "ViewPosition": view}
        (raw / f"{name}.dcm").write_bytes(dicom_bytes(values, **told))
    given = ["explain", "--images", f"{raw}", "--model", f"{folder}/model", "--out", f"{folder}/dicom_out"]
    assert main(given) == 0
    told = capsys.readouterr()
    assert "explain.dicom.view" in told.err
    assert json.loads(told.out)["dicom_doubtful"] == {"other_view": 1}
    quarantine = pq.read_table(folder / "dicom_out" / "_quarantine").to_pylist()
    assert {row["image_index"] for row in quarantine} == {"hand.dcm", "ct.dcm"}
    assert len(list((folder / "dicom_out").glob("*.png"))) == 2
    assert (
        main([*given, "--overwrite", "--set", "explain.dicom.modality=take", "--set", "explain.dicom.view=refuse"]) == 0
    )
    assert len(list((folder / "dicom_out").glob("*.png"))) == 2
    quarantine = pq.read_table(folder / "dicom_out" / "_quarantine").to_pylist()
    assert {row["image_index"] for row in quarantine} == {"hand.dcm", "lateral.dcm"}


def test_top_is_the_most_probable_finding_but_no_finding(folder) -> None:
    """Told by the picture: the top finding's overlay is the one that naming it gives."""
    loaded = load_model(Store(f"{folder}/model"))
    row = rows(folder)[0]
    pixels = np.frombuffer(row["pixels"], np.uint8).reshape(1, 32, 32)
    probabilities = predict(loaded.module, loaded.metadata, pixels)[0]
    top = ("Effusion", "Mass")[int(probabilities[:2].argmax())]
    assert explain(folder, "top", "--limit=1") == 0
    assert explain(folder, "named", "--limit=1", f"--finding={top}") == 0
    name = file_name(row["image_index"])
    assert (folder / "top" / name).read_bytes() == (folder / "named" / name).read_bytes()


@pytest.mark.parametrize(
    ("options", "status", "told"),
    [
        (["--layers=features.99"], 2, "features.9"),
        (["--finding=Mas"], 2, "did you mean 'Mass'"),
        (["--only=boxed"], 2, "--boxes"),
        (["--boxes=/nowhere.csv"], 3, "no such file"),
        (["--limit=0"], 2, "limit"),
        (["--sanity=-1"], 2, "sanity"),
        (["--threshold=1.5"], 2, "threshold"),
    ],
)
def test_wrong_options_are_told_in_one_line(folder, capsys, options, status, told) -> None:
    assert explain(folder, "refused", *options) == status
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("cxr-spark explain:")]
    assert len(lines) == 1
    assert told in lines[0]
    assert not list((folder / "refused").glob("*.png"))
