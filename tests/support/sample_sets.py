"""Synthetic sets that the command makes."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from cxr_spark.commands.main import main

IMAGES, SIZE, SEED = 60, 64, 5


def make(out: Path, *options: str, images: int = IMAGES, size: int = SIZE, seed: int = SEED) -> int:
    return main(
        ["sample-data", "--out", str(out), "--images", str(images), "--size", str(size), "--seed", str(seed), *options]
    )


def label_frame(folder: Path) -> pd.DataFrame:
    names = ["index", "findings", "visit", "patient", "age", "sex", "view", "width", "height", "dx", "dy"]
    return pd.read_csv(folder / "Data_Entry_2017.csv", header=None, skiprows=1, names=names, dtype=str)
