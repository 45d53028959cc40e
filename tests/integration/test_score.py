"""The score job end to end: the same numbers as a bare loop, and safe to run again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from cxr_spark.commands.main import main
from cxr_spark.models.folder import load_model
from cxr_spark.runtime.tasks import run_parts
from cxr_spark.scoring.ensemble import ShippedEnsemble
from cxr_spark.scoring.predict import predict
from cxr_spark.scoring.shipped import ShippedModel
from cxr_spark.scoring.shipping import ship_model
from cxr_spark.scoring.task import PartScorer
from cxr_spark.storage.store import Store
from tests.support.prepared_sets import write_prepared
from tests.support.small_model import write_model

#: What rounding to bfloat16 makes of a probability, where the CPU has it.
BF16 = 0.01

pytestmark = pytest.mark.usefixtures("spark")


def score(tmp_path, *options) -> int:
    return main(["score", "--model", str(tmp_path / "model"), "--out", str(tmp_path / "out"), *map(str, options)])


def predictions(tmp_path) -> pd.DataFrame:
    """Reads the output as any Parquet reader does."""
    return pd.read_parquet(sorted((tmp_path / "out").glob("*.parquet"))[0].parent).sort_values("image_index")


def bare_loop(model: Path, pixels: np.ndarray) -> np.ndarray:
    loaded = load_model(Store(str(model)))
    return predict(loaded.module, loaded.metadata, pixels)


def stored_pixels(data: Path, split: str) -> pd.DataFrame:
    frame = pd.concat(pd.read_parquet(p) for p in sorted((data / "data" / f"split={split}").glob("*.parquet")))
    return frame.sort_values("image_index")


def test_prepared_data(spark, tmp_path, capsys):
    model = write_model(tmp_path / "model")
    data = write_prepared(tmp_path / "data", {"train": 4, "test": 23}, files=3)
    assert score(tmp_path, "--data", data) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["images"], summary["model_id"]) == (23, model.model_id)
    rows, source = predictions(tmp_path), stored_pixels(data, "test")
    assert rows["image_index"].tolist() == source["image_index"].tolist()
    assert rows["patient_id"].tolist() == source["patient_id"].tolist()
    np.testing.assert_array_equal(np.stack(rows["labels"]), np.stack(source["labels"]))
    pixels = np.stack([np.frombuffer(p, np.uint8).reshape(32, 32) for p in source["pixels"]])
    np.testing.assert_allclose(np.stack(rows["probabilities"]), bare_loop(tmp_path / "model", pixels), atol=BF16)
    assert set(rows["split"]) == {"test"}

    frame = spark.read.parquet(str(tmp_path / "out"))
    assert frame.count() == 23
    assert dict(frame.dtypes)["probabilities"] == "array<float>"
    assert frame.selectExpr("size(probabilities) n").distinct().collect()[0]["n"] == 3
    done = json.loads((tmp_path / "out" / "_done.json").read_text())
    assert done["summary"]["findings"] == list(model.findings)
    file = next((tmp_path / "out").glob("*.parquet"))
    assert json.loads(pq.read_schema(file).metadata[b"findings"]) == list(model.findings)


def test_finished_work_is_left_alone_and_other_work_is_refused(tmp_path, capsys):
    write_model(tmp_path / "model")
    data = write_prepared(tmp_path / "data", {"val": 3, "test": 5})
    assert score(tmp_path, "--data", data) == 0
    files = {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in (tmp_path / "out").glob("*.parquet")}
    assert score(tmp_path, "--data", data) == 0
    assert {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in (tmp_path / "out").glob("*.parquet")} == files
    capsys.readouterr()
    assert score(tmp_path, "--data", data, "--split", "val") == 2
    assert "split" in capsys.readouterr().err
    assert score(tmp_path, "--data", data, "--split", "val", "--overwrite") == 0
    assert len(predictions(tmp_path)) == 3
    # As a run leaves it that is killed before its end, with a part of its own and one of other settings.
    kept = next((tmp_path / "out").glob("*.parquet"))
    shutil.copy(kept, kept.with_name("part-00077-0123456789ab.parquet"))
    (tmp_path / "out" / "_done.json").unlink()
    assert score(tmp_path, "--data", data, "--split", "all") == 0
    assert sorted(predictions(tmp_path)["split"]) == ["test"] * 5 + ["val"] * 3


def test_raw_images_go_the_way_of_prepared_ones(real_data, tmp_path):
    """Both routes from the same files: by the prepare job's output, and straight."""
    write_model(tmp_path / "model", findings=("Hernia", "Mass", "Effusion"), input_size=48, stored_size=64)
    files = sorted((real_data / "images_1024").rglob("*.png"))[:6]
    images = tmp_path / "raw" / "deep"
    images.mkdir(parents=True)
    for file in files:
        (images / file.name).symlink_to(file)
    (images / "cut.png").write_bytes(files[0].read_bytes()[:10_000])
    (images / "note.txt").write_text("x")
    assert score(tmp_path, "--images", tmp_path / "raw") == 0
    straight = predictions(tmp_path)
    assert straight["image_index"].tolist() == [file.name for file in files]
    assert straight[["patient_id", "sex", "age", "labels", "split", "view_position"]].isna().all(axis=None)
    quarantine = pd.read_parquet(tmp_path / "out" / "_quarantine")
    assert quarantine[["image_index", "reason"]].values.tolist() == [["cut.png", "truncated"]]

    labels = real_data / "labels" / "Data_Entry_2017.csv.gz"
    options = ["--images", str(images), "--labels", str(labels), "--size", "64", "--out", str(tmp_path / "data")]
    assert main(["prepare", *options, "--split", "patient", "--max-bad-fraction", "0.5"]) == 0
    shutil.rmtree(tmp_path / "out")
    assert score(tmp_path, "--data", tmp_path / "data", "--split", "all") == 0
    prepared = predictions(tmp_path)
    assert prepared["image_index"].tolist() == straight["image_index"].tolist()
    np.testing.assert_allclose(np.stack(prepared["probabilities"]), np.stack(straight["probabilities"]), atol=BF16)
    assert np.ptp(np.stack(straight["probabilities"]), axis=0).min() > 0.01  # the images do differ
    assert all(len(row) == 3 and set(row) <= {0.0, 1.0} for row in prepared["labels"])


def test_a_model_that_executors_cannot_read_travels_with_the_tasks(spark, tmp_path):
    write_model(tmp_path / "model")
    data = write_prepared(tmp_path / "data", {"test": 4}, files=2)
    model, loaded = ship_model(spark, f"file://{tmp_path}/model")
    assert model.broadcast is None  # here they can
    files = {p.name: p.read_bytes() for p in (tmp_path / "model").iterdir()}
    hidden = ShippedModel("file:///not/there", model.metadata, spark.sparkContext.broadcast(files))
    from cxr_spark.scoring.plan import prepared_parts
    from cxr_spark.tables.prepared import PreparedDataset

    parts = prepared_parts(PreparedDataset.open(f"file://{data}"), "test")
    models = ShippedEnsemble((hidden,))
    scorer = PartScorer(f"file://{tmp_path}/out", "abc", models, f"file://{data}", (0, 1, 2), threads=1, batch=8)
    assert [part.images for part in run_parts(spark, parts, scorer, "scoring")] == [2, 2]
    assert len(predictions(tmp_path)) == 4
    assert set(predictions(tmp_path)["model_id"]) == {loaded.metadata.model_id}


def corrupt(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))


def test_errors_are_one_line_with_their_status(tmp_path, capsys):
    def fails(status: int, message: str, *options) -> None:
        capsys.readouterr()
        assert score(tmp_path, *options) == status
        lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("cxr-spark score:")]
        assert len(lines) == 1
        assert message in lines[0]
        assert not (tmp_path / "out" / "_done.json").exists()  # without it no predictions are whole

    data = write_prepared(tmp_path / "data", {"test": 5})
    fails(3, "holds no model", "--data", data)
    write_model(tmp_path / "model")
    fails(3, "is not a finished prepared dataset", "--data", tmp_path / "nothing")
    fails(3, "no file matches", "--images", tmp_path / "nothing")
    fails(3, "no images in split 'train'", "--data", data, "--split", "train")
    fails(2, "score.split", "--data", data, "--split", "tests")
    fails(2, "--split is for prepared data", "--images", data, "--split", "test")

    images = tmp_path / "images"
    images.mkdir()
    (images / "a.png").write_bytes(b"")
    (images / "b.png").write_bytes(b"no image")
    fails(3, "none of the images can be read (empty 1, not_an_image 1)", "--images", images)

    part = data / "data" / "split=test" / "part-00001.parquet"
    whole = part.read_bytes()
    part.write_bytes(whole[: len(whole) // 2])
    fails(3, "part-00001.parquet cannot be read", "--data", data)
    part.write_bytes(whole)
    corrupt(tmp_path / "model" / "weights.safetensors")
    fails(3, "has SHA-256", "--data", data)


def test_wide_and_colour_images_of_any_depth(tmp_path):
    """What a hospital's archive may hold is scored, not only square 8-bit grey."""
    write_model(tmp_path / "model", resize="pad")
    images = tmp_path / "images"
    images.mkdir()
    draw = np.random.default_rng(0)
    cv2.imwrite(str(images / "wide.png"), draw.integers(0, 256, (40, 90), dtype=np.uint8))
    cv2.imwrite(str(images / "deep.png"), draw.integers(0, 65536, (50, 40), dtype=np.uint16))
    cv2.imwrite(str(images / "colour.jpg"), draw.integers(0, 256, (64, 64, 3), dtype=np.uint8))
    assert score(tmp_path, "--images", images / "*.png", "--images", images / "*.jpg", "--image-index", "path") == 0
    assert predictions(tmp_path)["image_index"].tolist() == ["colour.jpg", "deep.png", "wide.png"]


def test_scores_as_csv_with_calls_evaluate_like_the_parquet(tmp_path, capsys):
    write_model(tmp_path / "model")
    data = write_prepared(tmp_path / "data", {"val": 30, "test": 30}, masked=0.1)
    assert score(tmp_path, "--data", data, "--split", "val,test") == 0
    evaluated, again, csv = (tmp_path / name for name in ("evaluated", "again", "csv"))
    options = ["--split", "test", "--replicates", "0", "--predictions"]
    assert main(["evaluate", *options, str(tmp_path / "out"), "--out", str(evaluated)]) == 0

    called = ["--format", "csv", "--thresholds", str(evaluated), "--operating-point", "youden"]
    wanted = ["--data", str(data), "--split", "val,test", "--out", str(csv), "--model", str(tmp_path / "model")]
    assert main(["score", *wanted, *called]) == 0
    frame = pd.concat(pd.read_csv(file) for file in sorted(csv.glob("*.csv"))).sort_values("image_index")
    assert frame["prob_Mass"].tolist() == pytest.approx([row[1] for row in predictions(tmp_path)["probabilities"]])
    metrics = json.loads((evaluated / "metrics.json").read_text())
    chosen = metrics["operating_points"]["points"]["youden"]["Mass"]
    of_test = frame[frame["split"] == "test"]
    called_right = of_test["call_Mass"].astype(bool) & (of_test["label_Mass"] == 1)
    assert (called_right.sum(), set(of_test["threshold_Mass"])) == (chosen["true_positives"], {chosen["threshold"]})

    assert main(["evaluate", *options, str(csv), "--out", str(again)]) == 0
    from_csv = json.loads((again / "metrics.json").read_text())
    for part in ("findings", "macro", "operating_points", "n_images", "n_patients", "model_id", "splits"):
        assert from_csv[part] == metrics[part]
    capsys.readouterr()
    assert score(tmp_path, "--images", data, "--incremental", "--format", "csv") == 2
    assert "--format csv is not for --incremental" in capsys.readouterr().err


def test_the_csv_of_a_softmax_is_evaluated_as_one(tmp_path):
    write_model(tmp_path / "model")
    metadata = json.loads((tmp_path / "model" / "metadata.json").read_text())
    (tmp_path / "model" / "metadata.json").write_text(json.dumps({**metadata, "task": "single_label"}))
    data = write_prepared(tmp_path / "data", {"test": 12})
    assert score(tmp_path, "--data", data, "--format", "csv") == 0
    options = ["--replicates", "0", "--predictions", str(tmp_path / "out"), "--out", str(tmp_path / "evaluated")]
    assert main(["evaluate", *options]) == 0
    metrics = json.loads((tmp_path / "evaluated" / "metrics.json").read_text())
    assert (metrics["task"], list(metrics["classification"])) == ("single_label", ["most_probable"])
    (tmp_path / "out" / "_done.json").unlink()
    assert main(["evaluate", *options, "--overwrite"]) == 3
