"""explain: the images of a list, the maps of an evaluation's worst mistakes, and the check with random weights."""

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
from cxr_spark.storage.store import Store
from tests.support.explaining import LEFT, SIDE, TOP, explain, rows, write_set
from tests.support.predictions import write_predictions
from tests.support.small_model import write_model


@pytest.fixture(scope="module")
def folder(spark, tmp_path_factory) -> Path:
    return write_set(tmp_path_factory.mktemp("explain"))


def test_images_of_a_list_are_explained_each_for_its_findings_and_recorded(folder, capsys) -> None:
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


def test_maps_of_the_worst_mistakes_go_from_evaluate_to_explain_and_back(folder) -> None:
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


def test_sanity_compares_the_maps_of_drawn_images_and_changes_no_picture(folder, capsys) -> None:
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
