"""The train command in BigDL, and what else a session can still do afterwards."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys

import cv2
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import functions as sf
from safetensors.torch import load_file

from cxr_spark.commands.main import main
from tests.support.prepared_sets import write_prepared

SMALL = ("model.architecture=googlenet", "model.input_size=48", "train.learning_rate=1e-3")


def train(engine, data, out, *overrides):
    options = [text for one in (*SMALL, f"train.bigdl_engine={engine}", *overrides) for text in ("--set", one)]
    return main(["train", "--backend", "bigdl", "--data", str(data), "--out", str(out), *options])


def replaced(table, name, values):
    """A table with other values in one column."""
    place = table.schema.get_field_index(name)
    field = table.schema.field(place)
    return table.set_column(place, field, pa.array(values, field.type))


@pytest.fixture(scope="module")
def dozen(real_data, tmp_path_factory):
    """Twelve real radiographs, six with one finding and six without any, four times each, as a prepared dataset."""
    with gzip.open(real_data / "labels" / "Data_Entry_2017.csv.gz", "rt") as file:
        labels = pd.read_csv(file, index_col="Image Index")["Finding Labels"]
    paths = {path.name: path for path in sorted((real_data / "images_64").rglob("*.png"))}
    chosen = [[name for name in paths if labels[name] == finding][:6] for finding in ("Cardiomegaly", "No Finding")]
    folder = tmp_path_factory.mktemp("real") / "prepared"
    write_prepared(folder, {"train": 48, "val": 0}, findings=("Cardiomegaly", "No Finding"), size=64, files=1)
    (part,) = (folder / "data" / "split=train").glob("*.parquet")
    table = pq.ParquetFile(part).read()
    pixels = [cv2.imread(str(paths[name]), cv2.IMREAD_GRAYSCALE).tobytes() for group in chosen for name in group]
    columns = {"pixels": pixels * 4, "labels": ([[1.0, 0.0]] * 6 + [[0.0, 1.0]] * 6) * 4}
    for name, values in columns.items():
        table = replaced(table, name, values)
    pq.write_table(table, part)
    return folder


def test_a_few_real_images_are_learnt_by_heart(spark, cluster, engine, dozen, tmp_path, capsys):
    overrides = ("train.epochs=6", "train.global_batch=24", "train.learning_rate=3e-4", "train.schedule.kind=constant")
    overrides += ("train.final_model=last", "train.augmentations=[]")
    assert train(engine, dozen, tmp_path / "run", *overrides) == 0
    history = json.loads((tmp_path / "run" / "history.json").read_text())
    assert history[-1]["train_loss"] < history[0]["train_loss"] / 2
    assert json.loads(capsys.readouterr().out)["model"].endswith("run/model")
    # Scored by the one scorer, with the statistics that were re-estimated.
    scores = tmp_path / "scores"
    options = ["--data", str(dozen), "--split", "train", "--model", str(tmp_path / "run" / "model")]
    assert main(["score", *options, "--out", str(scores)]) == 0
    rows = pd.concat(pq.read_table(path).to_pandas() for path in sorted(scores.rglob("*.parquet")))
    sick, probability = np.stack(rows["labels"])[:, 0] == 1, np.stack(rows["probabilities"])[:, 0]
    assert probability[sick].min() > probability[~sick].max()


def test_drawn_images_single_labels_and_checkpoints_within_epochs(spark, cluster, engine, tmp_path):
    data = write_prepared(tmp_path / "data", {"train": 20, "val": 0}, findings=("Mass", "Other"), size=48)
    for part in (data / "data" / "split=train").glob("*.parquet"):
        table = pq.ParquetFile(part).read()
        one = [[1.0, 0.0] if labels[0] else [0.0, 1.0] for labels in table["labels"].to_pylist()]
        pq.write_table(replaced(table, "labels", one), part)
    overrides = ("model.task=single_label", "train.balancing=upsample", "train.checkpoint_every_steps=3")
    assert train(engine, data, tmp_path / "run", *overrides, "train.epochs=1", "train.global_batch=4") == 0
    entries = json.loads((tmp_path / "run" / "checkpoints" / "manifest.json").read_text())["entries"]
    assert [entry["global_step"] for entry in entries] == [3, 5]
    assert exchanged_blocks_in_memory(spark) == []
    assert list(spark.sparkContext._jsc.getPersistentRDDs().keySet()) == []
    last = load_file(tmp_path / "run" / "checkpoints" / entries[-1]["file"])
    assert int(last["optimizer.steps"]) == 5
    assert last["optimizer.s"].abs().sum() > 0


def exchanged_blocks_in_memory(spark):
    """What BigDL's nodes exchanged and never freed: without care that is three networks an epoch."""
    blocks = spark.sparkContext._jsc.sc().env().blockManager().blockInfoManager().entries().toList()
    names = [blocks.apply(i)._1().toString() for i in range(blocks.size())]
    return [name for name in names if "gradient" in name or "weight" in name]


def test_a_loss_that_is_not_finite_ends_the_run_at_once(spark, cluster, engine, tmp_path, capsys):
    data = write_prepared(tmp_path / "data", {"train": 8, "val": 0}, size=48)
    overrides = ("train.optimizer=sgd", "train.learning_rate=1e30", "train.global_batch=4", "train.epochs=1")
    assert train(engine, data, tmp_path / "run", *overrides) == 4
    error = [line for line in capsys.readouterr().err.splitlines() if line.startswith("cxr-spark train:")]
    assert len(error) == 1
    assert "not finite in epoch 1, step" in error[0]


def test_other_pythons_and_arrow_work_beside_bigdl(spark, cluster):
    assert "PYTHONHOME" not in os.environ
    assert subprocess.run([sys.executable, "-c", "import json, encodings"], check=False).returncode == 0
    double = sf.pandas_udf(lambda column: column * 2, "long")
    assert spark.range(5).select(double("id")).agg(sf.sum("<lambda>(id)")).first()[0] == 20
