"""Small prepared datasets, written by plain pyarrow: what the prepare job promises to give, without running it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cxr_spark.runtime.spark_schema import to_spark
from cxr_spark.tables.schema import PREPARED


def write_prepared(
    folder: Path,
    counts: dict[str, int],
    *,
    findings: tuple[str, ...] = ("Effusion", "Mass", "No Finding"),
    size: int = 32,
    files: int = 2,
    seed: int = 0,
    masked: float = 0.0,
) -> Path:
    """Writes a dataset whose first finding brightens the left half of an image, the second the upper half.

    Rows are spread over files and within them in no order at all, so nothing can rely on one.
    """
    draw = np.random.default_rng(seed)
    splits = {}
    spark_schema = to_spark(PREPARED)
    spark_schema["pixels"].metadata = {"cxr": {"shape": [size, size], "dtype": "uint8"}}
    footer = {"org.apache.spark.sql.parquet.row.metadata": spark_schema.json()}
    for split, n in counts.items():
        labels = (draw.random((n, len(findings))) < 0.4).astype(np.float32)
        images = draw.integers(0, 160, (n, size, size), dtype=np.uint8)
        images[labels[:, 0] == 1, :, : size // 2] += 60
        if len(findings) > 1:
            images[labels[:, 1] == 1, : size // 2] += 35
        if masked:
            labels[draw.random(labels.shape) < masked] = np.nan
        order = draw.permutation(n)
        for part, rows in enumerate(np.array_split(order, files)):
            table = pa.table(
                {
                    "image_index": [f"{i:08d}_{split}.png" for i in rows],
                    "patient_id": [str(i // 2) for i in rows],
                    "view_position": ["PA"] * len(rows),
                    "sex": ["F"] * len(rows),
                    "age": [50.0] * len(rows),
                    "labels": [labels[i].tolist() for i in rows],
                    "height": [size] * len(rows),
                    "width": [size] * len(rows),
                    "pixels": [images[i].tobytes() for i in rows],
                    "uri": [f"file:///images/{i:08d}_{split}.png" for i in rows],
                },
                schema=PREPARED.with_metadata(footer),
            )
            target = folder / "data" / f"split={split}"
            target.mkdir(parents=True, exist_ok=True)
            pq.write_table(table, target / f"part-{part:05d}.parquet", row_group_size=7)
        splits[split] = {"images": n, "patients": (n + 1) // 2, "findings": {}}
    manifest = {"findings": list(findings), "size": size, "resize": "squash", "seed": seed, "splits": splits}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder
