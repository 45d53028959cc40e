"""Finished output of the explain job, written without running it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from cxr_spark.outputs.claim import claim
from cxr_spark.storage.store import Store

LEFT, TOP = 37, 21


def write_explanation(
    folder: Path,
    maps: Mapping[tuple[str, str], np.ndarray],
    *,
    model_id: str = "a" * 64,
    method: str = "gradcam",
    inputs: Mapping[str, object] | None = None,
) -> Path:
    """Writes pictures of which a part is the image under its map, the record of where, and localization.json.

    Args:
        folder: where to.
        maps: uint8 (S, S, 3), RGB, by the name of the image and the finding.
        model_id: the explained model.
        method: how the maps were made.
        inputs: what the job says of its settings and inputs.
    """
    rows = []
    with claim(Store(f"file://{folder}"), "explain", dict(inputs or {}), False) as claimed:
        (folder / "_explained").mkdir(parents=True, exist_ok=True)
        for number, ((image, finding), pixels) in enumerate(maps.items()):
            picture = np.random.default_rng(number).integers(0, 255, (len(pixels) + 60, len(pixels) + 90, 3), np.uint8)
            picture[TOP : TOP + len(pixels), LEFT : LEFT + len(pixels)] = pixels
            Image.fromarray(picture).save(folder / f"{number}.png")
            place = {"picture": f"{number}.png", "left": LEFT, "top": TOP, "side": len(pixels)}
            rows.append({"image_index": image, "finding": finding, **place})
        half = len(rows) // 2
        for part, held in enumerate((rows[:half], rows[half:])):
            names = ["image_index", "finding", "picture", "left", "top", "side"]
            types = [pa.string()] * 3 + [pa.int32()] * 3
            table = pa.Table.from_pylist(held, schema=pa.schema(list(zip(names, types, strict=True))))
            pq.write_table(table, folder / "_explained" / f"part-{part:05d}.parquet")
        (folder / "localization.json").write_text(json.dumps({"model_id": model_id, "method": method}))
        claimed.done({})
    return folder
