"""Every job in local mode, with all its paths on HDFS."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from cxr_spark.storage.store import Store
from cxr_spark.training.summaries import EVENTS_NAME
from tests.cluster.support.files import leftovers, visible
from tests.cluster.support.hadoop import Hdfs
from tests.cluster.support.pipeline import Run
from tests.cluster.support.submit import Submitter


def test_the_manifest_counts_what_went_in(reference: Run, images: Path) -> None:
    names = {path.name for path in images.rglob("*.png")}
    labels = pd.read_csv(images / "Data_Entry_2017.csv", index_col=False, usecols=["Image Index", "Finding Labels"])
    rows = labels[labels["Image Index"].isin(names)].set_index("Image Index")["Finding Labels"]
    manifest = reference.json("prepared/manifest.json")
    assert manifest["images_found"] == manifest["joined"] == manifest["prepared"] == len(names) == len(rows)
    test = rows[rows.index.isin((images / "test_list.txt").read_text().split())]
    assert manifest["splits"]["test"]["images"] == len(test) > 0
    effusions = test.str.split("|").map(lambda found: "Effusion" in found).sum()
    assert manifest["splits"]["test"]["findings"]["Effusion"] == effusions


def test_outputs_are_whole(reference: Run) -> None:
    for name in ("model/metadata.json", "model/weights.safetensors", "history.json", "curves.png"):
        assert Store(f"{reference.root}/run").exists(name)
    assert {"metrics.json", "roc.png", "auc.png", "report.html"} <= set(visible(f"{reference.root}/evaluation"))
    assert leftovers(reference.root) == []
    metrics, tested = (
        reference.json("evaluation/metrics.json"),
        reference.json("prepared/manifest.json")["splits"]["test"],
    )
    assert (metrics["n_images"], metrics["model_id"]) == (tested["images"], reference.weights())


def test_tensorboard_shows_what_a_run_on_hdfs_left(reference: Run, tmp_path: Path) -> None:
    copy = tmp_path / Path(EVENTS_NAME).name
    copy.write_bytes(Store(f"{reference.root}/run").read_bytes(EVENTS_NAME))
    shown = EventAccumulator(str(copy)).Reload()
    history = reference.json("run/history.json")
    assert [event.value for event in shown.Scalars("loss/train")] == pytest.approx([e["train_loss"] for e in history])


def test_finished_work_is_left_alone(reference: Run) -> None:
    def files() -> list[tuple[str, float]]:
        found = Store(f"{reference.root}/prepared").files()
        return [(info.name, info.modified) for info in found if info.name != "_status.json"]

    before = files()
    reference.prepare().ok()
    assert files() == before


def test_bare_paths_are_on_the_default_file_system(reference: Run, local: Submitter, hdfs: Hdfs) -> None:
    root = reference.root.removeprefix(hdfs.uri)
    assert root.startswith("/")
    local.run("evaluate", "--predictions", f"{root}/scores", "--out", "bare", "--replicates", 0).ok()
    user = local.variables().get("HADOOP_USER_NAME") or "root"
    assert "metrics.json" in visible(f"{hdfs.uri}/user/{user}/bare")
