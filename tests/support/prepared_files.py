"""Prepared files for the tests of their readers."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from cxr_spark.tables.prepared import PreparedDataset
from cxr_spark.training.rank.shards import load_shard, read_index

SPLIT = "test"


N = 12


def with_files(folder: Path) -> Path:
    """Names the files and their SHA-256 in the manifest, as the prepare job does."""
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"] = [
        {
            "name": str(path.relative_to(folder)),
            "bytes": path.stat().st_size,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
        for path in sorted(folder.glob("data/*/*.parquet"))
    ]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def train(dataset: PreparedDataset) -> list[bytes]:
    index = read_index(dataset, SPLIT)
    return [image.tobytes() for image in load_shard(dataset, index, 0, len(index), dataset.size).pixels]
