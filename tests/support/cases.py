"""What the tests of inputs that went wrong have in common."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

import cxr_spark
from cxr_spark.preparation.job import PrepareResult


def prepare(out: Path, **options: Any) -> PrepareResult:
    return cxr_spark.prepare(out=str(out), **{"size": 32, **options})


def rows_of(out: Path) -> pd.DataFrame:
    return pd.read_parquet(out / "data").set_index("image_index").sort_index()
