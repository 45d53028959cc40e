"""Every job in local mode, with all its paths on HDFS."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from cxr_spark.models.folder import load_metadata
from cxr_spark.storage import Store
from tests.cluster.support.files import leftovers, visible
from tests.cluster.support.hadoop import Hdfs
from tests.cluster.support.pipeline import Run
from tests.cluster.support.submit import Submitter


def test_the_manifest_counts_what_went_in(reference: Run, images: Path) -> None:
    labels = pd.read_csv(images / "Data_Entry_2017.csv", index_col=False)
    manifest = reference.json("prepared/manifest.json")
    assert manifest["images_found"] == len(list(images.rglob("*.png"))) == manifest["joined"]
    test = set((images / "test_list.txt").read_text().split())
    assert manifest["splits"]["test"]["images"] == len(test & set(labels["Image Index"]))


def test_outputs_are_whole(reference: Run) -> None:
    for name in ("model/metadata.json", "model/weights.safetensors", "history.json", "curves.png"):
        assert Store(f"{reference.root}/run").exists(name)
    assert {"metrics.json", "roc.png", "auc.png", "report.html"} <= set(visible(f"{reference.root}/evaluation"))
    assert leftovers(reference.root) == []
    tested = reference.json("prepared/manifest.json")["splits"]["test"]["images"]
    assert reference.json("evaluation/metrics.json")["n_images"] == tested
    assert (
        reference.json("evaluation/metrics.json")["model_id"]
        == load_metadata(Store(f"{reference.root}/run/model")).model_id
    )


def test_finished_work_is_left_alone(reference: Run) -> None:
    before = {
        info.name: info.modified for info in Store(f"{reference.root}/prepared").files() if info.name != "_status.json"
    }
    reference.prepare().ok()
    after = {
        info.name: info.modified for info in Store(f"{reference.root}/prepared").files() if info.name != "_status.json"
    }
    assert before == after


def test_bare_paths_are_on_the_default_file_system(reference: Run, local: Submitter, hdfs: Hdfs) -> None:
    root = reference.root.removeprefix(hdfs.uri)
    assert root == "/local"
    ended = local.run("score", "--data", f"{root}/prepared", "--model", f"{root}/run/model", "--out", "bare-scores")
    ended.ok()
    user = local.variables().get("HADOOP_USER_NAME") or "root"
    found = [name for name in visible(f"{hdfs.uri}/user/{user}/bare-scores") if name.endswith(".parquet")]
    assert found
