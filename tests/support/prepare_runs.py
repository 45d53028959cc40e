"""Runs of the prepare job with the settings files of conf/."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cxr_spark.commands.main import main

CONF = Path(__file__).resolve().parents[2] / "conf"


def run(settings: str, out: Path, *options: str) -> int:
    changes = [f"--set={option}" for option in ("prepare.size=32", *options)]
    return main(["prepare", "--config", str(CONF / settings), "--out", str(out), *changes])


def prepare(settings: str, out: Path, *options: str) -> tuple[dict[str, Any], pd.DataFrame]:
    assert run(settings, out, *options) == 0
    rows = pd.read_parquet(out / "data").sort_values("image_index").reset_index(drop=True)
    return json.loads((out / "manifest.json").read_text()), rows


def labels_of(rows: pd.DataFrame) -> Any:
    return np.stack(rows["labels"].to_numpy())


def rsna_options(root: Path) -> list[str]:
    return [f"prepare.images={root}/stage_2_train_images", f"prepare.labels={root}/stage_2_train_labels.csv"]
