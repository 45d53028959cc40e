"""A small set to explain, of noise and of a network with random weights, and the command that does."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from cxr_spark.commands.main import main
from tests.support.prepared_sets import write_prepared
from tests.support.small_model import write_model

IMAGES = 9
#: Where the image and its map are in a picture, in pixels.
SIDE, LEFT, TOP = 512, 14, 84
PATH_INDEX = "../../CheXpert/valid/patient1/view1_frontal.jpg"
_HEADER = "Image Index,Finding Label,Bbox [x,y,w,h],,,\n"


def write_set(folder: Path) -> Path:
    """Writes images, a model and boxes of every kind, and returns the folder; one image has a path for a name."""
    write_prepared(folder / "data", {"test": IMAGES})
    write_model(folder / "model", input_size=64)  # a map of 2 x 2 cells
    file = sorted((folder / "data").rglob("*.parquet"))[0]
    table = pq.read_table(file, partitioning=None)
    names = [PATH_INDEX, *table["image_index"].to_pylist()[1:]]
    pq.write_table(table.set_column(0, table.schema.field(0), pa.array(names)), file)
    names = [row["image_index"] for row in rows(folder)]
    boxes = [
        f"{names[0]},Mass,0,0,1024,1024",  # the maximum of any map is in it
        f"{names[1]},Mass,0,0,1024,1024",
        f"{names[1]},Effusion,1000,1000,8,8",
        "elsewhere.png,Mass,1,1,10,10",
        f"{names[2]},Infiltrate,1,1,10,10",
    ]
    (folder / "boxes.csv").write_text(_HEADER + "\n".join(boxes))
    return folder


def rows(folder: Path) -> list[dict]:
    """Returns the rows of all prepared images."""
    files = sorted((folder / "data").rglob("*.parquet"))
    return [row for file in files for row in pq.read_table(file, partitioning=None).to_pylist()]


def explain(folder: Path, out: str, *options: str) -> int:
    """Explains the images into a folder beside them; returns the exit status."""
    return main(
        ["explain", "--data", f"{folder}/data", "--model", f"{folder}/model", "--out", f"{folder}/{out}", *options]
    )
