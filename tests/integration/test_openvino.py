"""The score job by OpenVINO where torch cannot be imported, neither by the driver nor by Spark's workers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cxr_spark.models.metadata import ModelMetadata
from cxr_spark.scoring.converting import convert
from cxr_spark.scoring.kept_conversion import keep
from cxr_spark.storage.store import Store
from tests.conftest import ROOT
from tests.support.by_torch import by_torch
from tests.support.prepared_sets import write_prepared
from tests.support.small_model import write_model

pytest.importorskip("openvino")

#: Python runs a module of this name at its start, in every process that inherits PYTHONPATH.
BLOCK = "import sys\nsys.modules.update({name: None for name in ('torch', 'torchvision', 'timm', 'h5py')})\n"
SIDE = 32


def test_two_models_score_without_torch(tmp_path: Path) -> None:
    def model(name: str, seed: int) -> ModelMetadata:
        metadata, store = write_model(tmp_path / name, seed=seed), Store(f"file://{tmp_path}/{name}")
        assert keep(store, convert(store, metadata).to_bytes())
        return metadata

    models = model("a", 1), model("b", 2)
    data = write_prepared(tmp_path / "data", {"test": 11}, files=2)
    (tmp_path / "blocked").mkdir()
    (tmp_path / "blocked" / "sitecustomize.py").write_text(BLOCK)
    own = {**os.environ, "PYTHONPATH": f"{tmp_path}/blocked:{ROOT}", "PYSPARK_PYTHON": sys.executable}
    options = ["--model", "a", "--model", "b", "--tta", "flip", "--engine", "openvino"]
    line = [*options, "--data", str(data), "--out", "out"]
    command = [sys.executable, "-m", "cxr_spark.commands.main", "score", *line]
    done = subprocess.run(command, cwd=tmp_path, env=own, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]

    rows = pd.concat(map(pd.read_parquet, sorted((tmp_path / "out").glob("*.parquet"))))
    assert (set(rows["engine"]), set(rows["precision"])) == ({"openvino"}, {"fp32"})
    assert set(rows["model_id"]) == {"+".join(each.model_id for each in models)}
    source = pd.concat(map(pd.read_parquet, sorted((data / "data" / "split=test").glob("*.parquet"))))
    pixels = np.stack([np.frombuffer(p, np.uint8).reshape(SIDE, SIDE) for p in source["pixels"]])
    views = pixels, np.ascontiguousarray(pixels[..., ::-1])
    mean = np.mean([by_torch(tmp_path / name, view) for name in "ab" for view in views], axis=0)
    expected = dict(zip(source["image_index"], mean, strict=True))
    assert len(rows) == 11
    for name, found in zip(rows["image_index"], rows["probabilities"], strict=True):
        np.testing.assert_allclose(found, expected[name], rtol=0, atol=5e-5)
