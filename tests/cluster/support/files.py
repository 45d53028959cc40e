"""Files on their way to and from the cluster's storage."""

from __future__ import annotations

import gzip
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from cxr_spark.storage.store import Store

#: Files that are written at the same time.
_AT_ONCE = 8


def real_images(data: Path, folder: Path, count: int) -> None:
    """Makes a folder in NIH's layout of some real images, scaled to 64 pixels: their labels, NIH's lists."""
    (folder / "images").mkdir(parents=True)
    files = sorted((data / "images_64").rglob("*.png"))
    names = set()
    for file in files[:: len(files) // count][:count]:
        shutil.copy2(file, folder / "images")
        names.add(file.name.encode())
    header, *rows = gzip.decompress((data / "labels" / "Data_Entry_2017.csv.gz").read_bytes()).splitlines(keepends=True)
    own = [row for row in rows if row.partition(b",")[0] in names]
    (folder / "Data_Entry_2017.csv").write_bytes(b"".join([header, *own]))
    for name in ("train_val_list.txt", "test_list.txt"):
        shutil.copy2(data / "labels" / name, folder)


def put(folder: Path, uri: str) -> str:
    """Copies a local folder with all below it, and returns where to."""
    store = Store(uri)

    def copy(path: Path) -> None:
        store.write_bytes(path.relative_to(folder).as_posix(), path.read_bytes())

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(copy, (path for path in sorted(folder.rglob("*")) if path.is_file())))
    return uri


def visible(uri: str, folder: str = "") -> list[str]:
    """Returns the names of all files of a store, or of a folder in it that may not be there yet."""
    store = Store(uri)
    return [info.name for info in store.files(folder)] if store.exists(folder) else []


def tables(uri: str, folder: str = "") -> list[str]:
    """Returns the names of all Parquet files, as `visible` does."""
    return [name for name in visible(uri, folder) if name.endswith(".parquet")]


def score_rows(uri: str) -> list[dict[str, Any]]:
    """Returns the rows of a scores folder, ordered by image, read without Spark."""
    system, root = Store(uri).arrow()
    shown = [name for name in tables(uri) if name[0] not in "_."]  # to Spark's readers
    rows = [row for name in shown for row in pq.read_table(f"{root}/{name}", filesystem=system).to_pylist()]
    return sorted(rows, key=lambda row: row["image_index"])


def predictions(uri: str) -> list[tuple[str, list[float]]]:
    """Returns names and probabilities of a scores folder, in order."""
    return [(row["image_index"], row["probabilities"]) for row in score_rows(uri)]


def leftovers(uri: str) -> list[str]:
    """Returns what a run must not leave behind: locks, heartbeats, half-written files."""
    return [name for name in visible(uri) if name.rpartition("/")[2].startswith((".cxr-", "_lock"))]
