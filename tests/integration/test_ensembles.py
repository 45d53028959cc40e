"""Several models in one pass: the mean of what each gives alone, and clear errors where they do not go together."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from scipy.special import expit, logit

import cxr_spark
from cxr_spark.commands.main import main
from cxr_spark.imaging import prepare
from cxr_spark.scoring.platt import fit_platt
from tests.support.prepared_sets import write_prepared
from tests.support.small_model import write_model

pytestmark = pytest.mark.usefixtures("spark")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models a and b of other sizes, whose findings are in another order; and prepared and raw images."""
    folder = tmp_path_factory.mktemp("ensembles")
    write_model(folder / "a", seed=1, input_size=32, stored_size=32)
    findings = ("No Finding", "Effusion", "Mass")
    write_model(folder / "b", seed=2, findings=findings, input_size=40, stored_size=48, crop=True, resize="pad")
    write_prepared(folder / "data", {"val": 24, "test": 9})
    draw = np.random.default_rng(0)
    (folder / "images").mkdir()
    for i in range(5):
        cv2.imwrite(str(folder / "images" / f"{i}.png"), draw.integers(0, 256, (50, 70), dtype=np.uint8))
    for model in ("a", "b"):
        assert run(folder, f"{model}_prepared", model, "--data", folder / "data", "--split", "val,test") == 0
        assert run(folder, f"{model}_raw", model, "--images", folder / "images") == 0
    return folder


def run(folder: Path, out: str, models: str, *options: object) -> int:
    given = [f"--model={folder / model}" for model in models]
    return main(["score", *given, "--out", str(folder / out), *map(str, options)])


def rows(folder: Path, name: str) -> pd.DataFrame:
    files = sorted((folder / name).glob("*.parquet"))
    frame = pd.concat(pd.read_parquet(path) for path in files if not path.name.startswith("_"))
    findings = json.loads(pq.read_schema(files[-1]).metadata[b"findings"])
    probabilities = pd.DataFrame(np.stack(frame["probabilities"]), columns=findings, dtype=np.float64)
    labels = pd.DataFrame([row if row is not None else [np.nan] * 3 for row in frame["labels"]], columns=findings)
    about = frame[["image_index", "split", "model_id"]].reset_index(drop=True)
    tables = {"about": about, "p": probabilities[sorted(findings)], "y": labels[sorted(findings)]}
    return pd.concat(tables, axis=1).sort_values(("about", "image_index")).reset_index(drop=True)


def test_prepared_images_get_the_mean_of_the_single_scores(folder, capsys):
    assert run(folder, "mean", "ab", "--data", folder / "data") == 0
    told = json.loads(capsys.readouterr().out)
    a, b, both = (rows(folder, name) for name in ("a_prepared", "b_prepared", "mean"))
    test = a["about"]["split"] == "test"
    expected = (a["p"][test].to_numpy() + b["p"][test].to_numpy()) / 2
    np.testing.assert_allclose(both["p"], expected, atol=1e-6)
    np.testing.assert_array_equal(both["y"], a["y"][test])
    ids = [json.loads((folder / name / "metadata.json").read_text())["weights_sha256"] for name in "ab"]
    assert told["model_id"] == "+".join(ids)
    assert set(both["about"]["model_id"]) == {"+".join(ids)}
    done = json.loads((folder / "mean" / "_done.json").read_text())["summary"]
    assert [model["model_id"] for model in done["model"]["models"]] == ids
    out = ["evaluate", "--predictions", str(folder / "mean"), "--replicates=0", "--out", str(folder / "evaluation")]
    assert main(out) == 0
    page = (folder / "evaluation" / "report.html").read_text()
    assert "average of 2 models: efficientnet_b0" in page
    assert all(model_id in page for model_id in ids)


def test_each_raw_image_is_decoded_once(folder, capsys):
    assert run(folder, "raw", "ab", "--images", folder / "images") == 0
    a, b, both = (rows(folder, name) for name in ("a_raw", "b_raw", "raw"))
    np.testing.assert_allclose(both["p"], (a["p"].to_numpy() + b["p"].to_numpy()) / 2, atol=1e-6)
    # In this process, where it can be counted.
    decoded = []
    original = prepare.decode_image
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prepare, "decode_image", lambda *args: decoded.append(args) or original(*args))
        forms = [prepare.Form(32, "squash"), prepare.Form(48, "pad"), prepare.Form(32, "squash")]
        data = (folder / "images" / "0.png").read_bytes()
        found = prepare.prepare_forms(data, forms)
    assert len(decoded) == 1
    np.testing.assert_array_equal(found[1], prepare.prepare_image(data, 48, "pad").pixels)


def test_mirror_images_are_averaged_with_the_images(folder):
    (folder / "mirrored").mkdir()
    for path in (folder / "images").glob("*.png"):
        cv2.imwrite(str(folder / "mirrored" / path.name), cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)[:, ::-1])
    assert run(folder, "flipped", "a", "--images", folder / "mirrored") == 0
    assert run(folder, "tta", "a", "--images", folder / "images", "--tta", "flip") == 0
    expected = (rows(folder, "a_raw")["p"].to_numpy() + rows(folder, "flipped")["p"].to_numpy()) / 2
    np.testing.assert_allclose(rows(folder, "tta")["p"], expected, atol=1e-6)
    assert np.abs(rows(folder, "a_raw")["p"].to_numpy() - expected).max() > 1e-3
    assert json.loads((folder / "tta" / "_done.json").read_text())["summary"]["model"]["tta"] == "flip"


def test_models_are_calibrated_on_validation_images(folder):
    scored = cxr_spark.score(
        model=[str(folder / "a"), str(folder / "b")],
        out=str(folder / "calibrated"),
        data=str(folder / "data"),
        average="logits",
        calibrate="platt",
    )
    assert scored.images == 9
    found, mean = rows(folder, "calibrated"), 0.0
    for name in ("a_prepared", "b_prepared"):
        single = rows(folder, name)
        val, test = (single["about"]["split"] == split for split in ("val", "test"))
        for finding in single["p"]:
            values, labels = logit(single["p", finding].clip(1e-7, 1 - 1e-7)), single["y", finding]
            slope, offset = fit_platt(values[val].to_numpy(), labels[val].to_numpy())
            slope, offset = (slope, offset) if slope > 0 else (1, 0)
            single["p", finding] = slope * values + offset
        mean = mean + single["p"][test].to_numpy() / 2
    np.testing.assert_allclose(found["p"], expit(mean), atol=1e-5)


def test_ranks_among_validation_images(folder):
    assert run(folder, "ranks", "ab", "--images", folder / "images", "--average", "ranks",
               "--calibration-data", folder / "data") == 0  # fmt: skip
    expected = 0.0
    for model in "ab":
        reference, single = rows(folder, f"{model}_prepared"), rows(folder, f"{model}_raw")
        known = reference["p"][reference["about"]["split"] == "val"].to_numpy()
        values = single["p"].to_numpy()[:, None]
        expected = expected + ((known < values).mean(axis=1) + (known == values).mean(axis=1) / 2) / 2
    np.testing.assert_allclose(rows(folder, "ranks")["p"], expected, atol=1e-6)


def test_each_night_all_models_score_what_is_new(folder, capsys):
    images = folder / "nightly"
    images.mkdir()
    for i in range(2):
        (images / f"{i}.png").write_bytes((folder / "images" / f"{i}.png").read_bytes())

    def night(models: str, *options: str) -> dict:
        capsys.readouterr()
        assert run(folder, "nights", models, "--incremental", "--images", images, *options) == 0
        return json.loads(capsys.readouterr().out)

    assert night("ab")["images"] == 2
    (images / "2.png").write_bytes((folder / "images" / "2.png").read_bytes())
    assert night("ab")["images"] == 1
    np.testing.assert_allclose(rows(folder, "nights")["p"], rows(folder, "raw")["p"][:3], atol=1e-6)
    assert run(folder, "nights", "ab", "--incremental", "--images", images, "--average", "logits") == 2
    assert "average" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("models", "options", "status", "message"),
    [
        ("aa", [], 2, "hold the same weights"),
        ("ac", [], 3, "different findings"),
        ("a", ["--calibrate", "platt", "--average", "ranks"], 2, "changes no rank"),
        ("a", ["--average", "ranks"], 2, "needs validation images"),
        ("a", ["--average", "median"], 2, "score.average"),
        ("a", ["--average", "ranks", "--calibration-data", "{}/nothing"], 3, "is not a finished prepared dataset"),
        ("a", ["--average", "ranks", "--calibration-data", "{}/without"], 3, "no images in split val"),
    ],
)
def test_what_cannot_work_is_one_line(folder, capsys, models, options, status, message):
    if not (folder / "c").exists():
        write_model(folder / "c", findings=("Effusion", "Mass", "Edema"))
        write_prepared(folder / "without", {"test": 2})
    capsys.readouterr()
    given = [option.format(folder) for option in options]
    assert run(folder, "wrong", models, "--images", folder / "images", *given) == status
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("cxr-spark score:")]
    assert len(lines) == 1
    assert message in lines[0]
