"""The explain job on Spark, from the command line."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from cxr_spark.commands.main import main
from cxr_spark.explanation.names import file_name
from cxr_spark.models.folder import load_model
from cxr_spark.scoring.predict import predict
from cxr_spark.storage.store import Store
from tests.support.dicom_files import dicom_bytes
from tests.support.predictions import write_predictions
from tests.support.prepared_sets import write_prepared
from tests.support.small_model import write_model

IMAGES = 9
SIDE, LEFT, TOP = 512, 14, 84
HEADER = "Image Index,Finding Label,Bbox [x,y,w,h],,,\n"
PATH_INDEX = "../../CheXpert/valid/patient1/view1_frontal.jpg"


@pytest.fixture(scope="module")
def folder(spark, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("explain")
    write_prepared(folder / "data", {"test": IMAGES})
    write_model(folder / "model", input_size=64)  # a map of 2 x 2 cells
    rename_first(folder / "data")
    return folder


def rename_first(data: Path) -> None:
    """Gives one image a name that is a path."""
    file = sorted(data.rglob("*.parquet"))[0]
    table = pq.read_table(file, partitioning=None)
    names = table["image_index"].to_pylist()
    pq.write_table(table.set_column(0, table.schema.field(0), pa.array([PATH_INDEX, *names[1:]])), file)


def rows(folder: Path) -> list[dict]:
    files = sorted((folder / "data").rglob("*.parquet"))
    return [row for file in files for row in pq.read_table(file, partitioning=None).to_pylist()]


def explain(folder: Path, out: str, *options: str) -> int:
    return main(
        ["explain", "--data", f"{folder}/data", "--model", f"{folder}/model", "--out", f"{folder}/{out}", *options]
    )


@pytest.fixture(scope="module")
def explained(folder) -> Path:
    """All images, of one finding, with the maps of two layers, and boxes of every kind."""
    names = [row["image_index"] for row in rows(folder)]
    boxes = [
        f"{names[0]},Mass,0,0,1024,1024",  # the maximum of any map is in it
        f"{names[1]},Mass,0,0,1024,1024",
        f"{names[1]},Effusion,1000,1000,8,8",
        "elsewhere.png,Mass,1,1,10,10",
        f"{names[2]},Infiltrate,1,1,10,10",
    ]
    (folder / "boxes.csv").write_text(HEADER + "\n".join(boxes))
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


def test_images_of_a_list_are_explained_each_for_its_findings_and_recorded(folder, explained, capsys) -> None:
    """The record leads to the very pixels that another run draws for that image and finding alone."""
    names = [row["image_index"] for row in rows(folder)]
    wanted = {names[0]: ["Effusion", "Mass"], names[4]: ["No Finding"], names[7]: ["Effusion"]}
    lines = [f"{finding},{name}" for name, findings in wanted.items() for finding in findings]
    (folder / "list.csv").write_text("\n".join(["finding,image_index", *lines, "Mass,elsewhere.png"]))
    assert explain(folder, "listed", f"--image-list={folder}/list.csv") == 0
    assert "1 of 4 images of --image-list are not among the images" in capsys.readouterr().err
    assert {path.name for path in (folder / "listed").glob("*.png")} == {file_name(name) for name in wanted}
    record = pq.read_table(folder / "listed" / "_explained").to_pylist()
    assert sorted((row["image_index"], row["finding"]) for row in record) == sorted(
        (name, finding) for name, findings in wanted.items() for finding in findings
    )
    alone = {}
    for finding in ("Effusion", "Mass", "No Finding"):
        assert explain(folder, f"alone_{finding}", f"--finding={finding}") == 0
        alone[finding] = folder / f"alone_{finding}"
    for row in record:
        left, top, side = row["left"], row["top"], row["side"]
        found = np.asarray(Image.open(folder / "listed" / row["picture"]))[top : top + side, left : left + side]
        distances = {}
        for finding, out in alone.items():
            page = np.asarray(Image.open(out / file_name(row["image_index"]))).astype(int)
            distances[finding] = np.abs(page[TOP : TOP + SIDE, LEFT + SIDE + 10 : LEFT + 2 * SIDE + 10] - found).mean()
        assert distances[row["finding"]] < 0.5  # another batch, other rounding
        assert distances[row["finding"]] == min(distances.values())
    with_boxes = [f"--image-list={folder}/list.csv", f"--boxes={folder}/boxes.csv", "--only=boxed"]
    assert explain(folder, "listed_boxed", *with_boxes) == 0
    record = pq.read_table(folder / "listed_boxed" / "_explained").to_pylist()
    assert [(row["image_index"], row["finding"]) for row in record] == [(names[0], "Effusion"), (names[0], "Mass")]
    (folder / "others.csv").write_text("a.png\n")
    assert explain(folder, "none_listed", f"--image-list={folder}/others.csv") == 3
    assert "none of the images is in --image-list" in capsys.readouterr().err


def test_maps_of_the_worst_mistakes_go_from_evaluate_to_explain_and_back(folder, explained) -> None:
    """What the report shows is what explain draws of that image for that finding."""
    findings = ("Effusion", "Mass", "No Finding")
    images = {row["image_index"]: row["labels"] for row in rows(folder)}
    names = sorted(images)
    wrong = np.array([[0.1 if label else 0.9 for label in images[name]] for name in names])
    write_predictions(folder / "scores", names, wrong, findings)
    model_id = load_model(Store(f"{folder}/model")).metadata.model_id
    for file in (folder / "scores").glob("*.parquet"):
        table = pq.read_table(file)
        labels = pa.array([images[name] for name in table["image_index"].to_pylist()], pa.list_(pa.float32()))
        for column, values in (("model_id", pa.array([model_id] * len(table))), ("labels", labels)):
            place = table.schema.names.index(column)
            table = table.set_column(place, table.schema.field(place), values)
        pq.write_table(table, file)
    evaluate = ["evaluate", "--predictions", f"{folder}/scores", "--data", f"{folder}/data", "--replicates=0"]
    assert main([*evaluate, "--out", f"{folder}/report"]) == 0
    assert explain(folder, "mistakes", f"--image-list={folder}/report/tables/mistakes.csv") == 0
    assert main([*evaluate, "--explanations", f"{folder}/mistakes", "--out", f"{folder}/report_with_maps"]) == 0
    page = (folder / "report_with_maps" / "report.html").read_text()
    assert "no map<" not in page
    found = re.findall(
        r'base64,([^"]+)" alt="Grad-CAM of (Effusion|Mass|No Finding), [^"]*"></div><figcaption><b>[^<]*</b>([^<]*)<',
        page,
    )
    assert len(found) > 6
    record = {
        (row["image_index"], row["finding"]): row for row in pq.read_table(folder / "mistakes/_explained").to_pylist()
    }
    for content, finding, name in found:
        row = record[name, finding]
        box = (row["left"], row["top"], row["left"] + row["side"], row["top"] + row["side"])
        wanted = (
            Image.open(folder / "mistakes" / row["picture"])
            .convert("RGB")
            .crop(box)
            .resize((160, 160), Image.Resampling.BOX)
        )
        shown = Image.open(io.BytesIO(base64.b64decode(content)))
        assert np.abs(np.asarray(shown).astype(int) - np.asarray(wanted)).mean() < 8  # JPEG of noise


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


def test_sanity_compares_the_maps_of_drawn_images_and_changes_no_picture(folder, explained, capsys) -> None:
    """The same images in batches of another size, the summary by depth, and the pictures of a run without the check."""
    write_model(folder / "finer", input_size=128)  # a map of 4 x 4 cells
    given = ["explain", "--data", f"{folder}/data", "--model", f"{folder}/finer"]
    assert main([*given, "--out", f"{folder}/plain"]) == 0
    capsys.readouterr()
    assert main([*given, "--out", f"{folder}/sane", "--sanity=6"]) == 0
    summary = json.loads(capsys.readouterr().out)
    found = json.loads((folder / "sane" / "sanity.json").read_text())
    names = [image["image_index"] for image in found["images"]]
    assert len(set(names)) == 6
    assert set(names) < {row["image_index"] for row in rows(folder)}
    assert found["cells"] == [4, 4]
    for place, stage in enumerate(found["stages"]):
        known = [abs(c) for image in found["images"] if (c := image["correlations"][place]) is not None]
        assert summary["sanity"][stage["block"]] == pytest.approx(np.mean(known) if known else None)
        assert max(known, default=0) <= 1
    assert any(0 < abs(image["correlations"][-1] or 0) < 0.99 for image in found["images"])
    pictures = {path.name: path.read_bytes() for path in (folder / "plain").glob("*.png")}
    assert {path.name: path.read_bytes() for path in (folder / "sane").glob("*.png")} == pictures
    page = (folder / "sane" / "index.html").read_text()
    assert all(f'<th scope="row">{stage["block"]}</th>' in page for stage in found["stages"])
    assert "Do the maps depend" not in (folder / "plain" / "index.html").read_text()

    assert main([*given, "--out", f"{folder}/again", "--sanity=6", "--batch=2"]) == 0
    again = json.loads((folder / "again" / "sanity.json").read_text())
    assert [image["image_index"] for image in again["images"]] == names
    for one, other in zip(found["stages"], again["stages"], strict=True):
        assert other["mean_abs_correlation"] == pytest.approx(one["mean_abs_correlation"], abs=0.02)
    assert main([*given, "--out", f"{folder}/other", "--sanity=6", "--set=explain.seed=7", "--method=gradcam++"]) == 0
    other = json.loads((folder / "other" / "sanity.json").read_text())
    assert (other["seed"], other["method"]) == (7, "gradcam++")
    assert other["stages"] != found["stages"]


def test_sanity_of_images_that_cannot_be_read_is_told(folder, capsys) -> None:
    raw = folder / "one_broken"
    raw.mkdir()
    Image.fromarray(np.random.default_rng(3).integers(0, 255, (80, 60), dtype=np.uint8)).save(raw / "good.png")
    (raw / "broken.png").write_bytes((raw / "good.png").read_bytes()[:-400])
    told = {}
    for seed in range(8):
        out = folder / f"broken_{seed}"
        given = ["explain", "--images", f"{raw}", "--model", f"{folder}/model", "--out", f"{out}", "--sanity=1"]
        assert main([*given, f"--set=explain.seed={seed}"]) == 0
        unread = "none of the images drawn for that could be read" in capsys.readouterr().err
        assert unread == (not (out / "sanity.json").exists())
        assert unread == ("none of the images drawn" in (out / "index.html").read_text())
        told[unread] = seed
        if len(told) == 2:
            break
    assert set(told) == {True, False}


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
