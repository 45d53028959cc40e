"""The explore job on odd data: images of many shapes, unknown labels, hostile names, copies, and images set aside."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from cxr_spark.commands.main import main
from cxr_spark.tables.schema import QUARANTINE
from tests.support.prepared_sets import write_prepared


@pytest.fixture(scope="module")
def odd(spark, tmp_path_factory) -> Path:
    """A set of images of many shapes, with labels that are not known, and a patient, sex and view that are not."""
    folder = tmp_path_factory.mktemp("odd")
    hostile = "<script>alert(1)</script>"
    write_prepared(folder / "data", {"train": 20, "test": 6}, findings=("Mass", hostile, "Never"), masked=0.3)
    for file in (folder / "data").rglob("*.parquet"):
        table = pq.read_table(file, partitioning=None)
        frame = table.to_pandas()
        frame["width"] = [int(name[:8]) * 10 + 100 for name in frame["image_index"]]
        frame["height"] = 100
        frame.loc[frame.index[:1], ["patient_id", "sex", "age"]] = None
        frame["view_position"] = hostile
        frame["labels"] = [[*row[:2], 0.0] for row in frame["labels"]]
        pq.write_table(type(table).from_pandas(frame, schema=table.schema, preserve_index=False), file)
    (folder / "raw").mkdir()
    Image.fromarray(np.full((30, 30), 77, np.uint8)).save(folder / "raw" / "twice.png")
    set_aside = [("twice.png", "duplicate_name", hostile), (hostile, "corrupt", "a checksum is wrong")]
    rows = [
        {"image_index": name, "uri": f"file://{folder}/raw/{name}", "reason": reason, "detail": detail}
        for name, reason, detail in set_aside
    ]
    (folder / "data" / "quarantine").mkdir()
    pq.write_table(pa.Table.from_pylist(rows, QUARANTINE), folder / "data" / "quarantine" / "part-names.parquet")
    files = sorted((folder / "data" / "data").rglob("*.parquet"))
    one, other = (pq.read_table(file, partitioning=None) for file in (files[0], files[-1]))
    place = other.schema.get_field_index("pixels")
    pixels = [one["pixels"][0].as_py(), *other["pixels"].to_pylist()[1:]]  # an image of both splits
    pq.write_table(other.set_column(place, other.schema.field(place), [pixels]), files[-1])
    assert main(["explore", f"--data={folder}/data", f"--out={folder}/out"]) == 0
    return folder


def test_equal_images_in_two_splits_are_named(odd) -> None:
    facts = json.loads((odd / "out" / "explore.json").read_text())
    assert {key: facts["duplicates"][key] for key in ("groups", "images", "across_splits")} == {
        "groups": 1,
        "images": 2,
        "across_splits": 1,
    }
    assert {image["split"] for image in facts["duplicates"]["examples"][0]} == {"train", "test"}
    assert (
        "Images with the same pixels lie in more than one split: 1 times." in (odd / "out" / "explore.html").read_text()
    )


def test_examples_are_drawn_by_name_each_of_another_patient(odd) -> None:
    facts = json.loads((odd / "out" / "explore.json").read_text())
    files = sorted((odd / "data" / "data").rglob("*.parquet"))
    frame = pd.concat(
        pq.read_table(file, partitioning=None).to_pandas().assign(split=file.parent.name.removeprefix("split="))
        for file in files
    )
    frame["hash"] = [hashlib.sha256(name.encode()).hexdigest() for name in frame["image_index"]]
    frame["patient_id"] = frame["patient_id"].fillna(frame["image_index"])
    frame = frame.sort_values("hash")
    for place, name in enumerate(facts["findings"][:2]):
        present = frame[[labels[place] == 1 for labels in frame["labels"]]].drop_duplicates("patient_id")
        found = [(image["image_index"], image["split"]) for image in facts["examples"][name]]
        assert found == list(zip(present["image_index"], present["split"], strict=True))[:8]
        assert len(found) > 3
    assert "Never" not in facts["examples"]


def test_pictures_are_on_the_page_unless_they_are_left_out(odd) -> None:
    facts = json.loads((odd / "out" / "explore.json").read_text())
    assert facts["set_aside"]["images"] == 2
    page = (odd / "out" / "explore.html").read_text()
    n_examples = sum(map(len, facts["examples"].values()))
    assert page.count("data:image/jpeg") == n_examples + 1  # of the two that were set aside one can be decoded
    assert len(page) < 3_000_000
    line = ["explore", f"--data={odd}/data", f"--out={odd}/without", "--pictures=leave_out"]
    assert main(line) == 0
    without = (odd / "without" / "explore.html").read_text()
    assert "data:image/jpeg" not in without
    assert "twice.png" in without


def test_shapes_masks_and_nulls(odd) -> None:
    facts = json.loads((odd / "out" / "explore.json").read_text())
    frame = pd.concat(
        pq.read_table(file, partitioning=None).to_pandas() for file in (odd / "data" / "data" / "split=train").iterdir()
    )
    labels = np.stack(frame["labels"])
    train = facts["splits"]["train"]
    for i, name in enumerate(facts["findings"]):
        counts = {"positive": (labels[:, i] == 1).sum(), "negative": (labels[:, i] == 0).sum()}
        assert {key: train["findings"][name][key] for key in counts} == counts
        assert train["findings"][name]["unknown"] == np.isnan(labels[:, i]).sum()
    assert train["images_without_patient"] == train["ages"]["unknown"] == train["sex"]["not known"] == 2
    shapes = facts["image_shapes"]
    assert shapes["all"] == {"smallest": [100, 100], "largest": [290, 100], "mean": [shapes["all"]["mean"][0], 100.0]}
    assert shapes["by_split"]["train"]["mean"][0] == pytest.approx(frame["width"].mean())
    assert shapes["by_finding"]["Never"] is None
    assert facts["information"]["findings"]["Never"]["relative_information"] == 0


def test_page_is_one_file_and_escaped(odd) -> None:
    page = (odd / "out" / "explore.html").read_text()
    assert "<script>alert" not in page
    assert page.count("<script") == 1, "the page has its own script alone, which sorts and copies tables"
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "http" not in page.replace("http-equiv", "")
    for name in ("class_balance", "co_occurrence", "patients", "intensity"):
        assert Image.open(odd / "out" / f"{name}.png").width > 600


def test_damaged_data_are_refused(odd, capsys) -> None:
    file = next((odd / "data" / "data" / "split=test").iterdir())
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    assert main(["explore", f"--data={odd}/data", f"--out={odd}/refused"]) == 3
    file.write_bytes(whole)
    assert "Traceback" not in capsys.readouterr().err
    assert not (odd / "refused" / "explore.json").exists()
