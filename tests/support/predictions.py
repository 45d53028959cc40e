"""Predictions as the score job leaves them, written by plain pyarrow."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cxr_spark.tables.schema import PREDICTIONS


def write_predictions(
    folder: Path, names: list[str], probabilities: np.ndarray, findings: tuple[str, ...], *, files: int = 2
) -> str:
    """Writes rows, spread over files in no order of theirs, and returns the URI of the folder.

    Args:
        folder: where to.
        names: N image indices.
        probabilities: (N, K).
        findings: what the columns are of.
        files: into how many files.
    """
    folder.mkdir(parents=True)
    order = np.random.default_rng(1).permutation(len(names))
    for part, rows in enumerate(np.array_split(order, files)):
        nothing = [None] * len(rows)
        columns = dict.fromkeys(PREDICTIONS.names, nothing)
        columns |= {
            "image_index": [names[i] for i in rows],
            "probabilities": [probabilities[i].astype(np.float32).tolist() for i in rows],
            "model_id": ["a" * 64] * len(rows),
        }
        table = pa.table(columns, schema=PREDICTIONS.with_metadata({"findings": json.dumps(list(findings))}))
        pq.write_table(table, folder / f"part-{part:05d}-abc.parquet")
    (folder / "_done.json").write_text(json.dumps({"job": "score", "summary": {"findings": list(findings)}}))
    return f"file://{folder}"
