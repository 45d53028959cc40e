"""Plans which image goes into which prepared file: joins files with labels and cuts them into parts. No Spark.

Both sides of the join, names and labels, are read on the driver, a few hundred bytes an image. Joining them there takes
well under a second for a hundred thousand images, needs no shuffle, and makes the parts exact: which images share a
file depends on names and sizes alone, not on sampling or timing. Spark's tasks do the work: reading and decoding.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa

from cxr_spark.errors import DataError
from cxr_spark.imaging.listing import ImageFiles
from cxr_spark.imaging.rejected import DUPLICATE_NAME, REASONS
from cxr_spark.tables.schema import LABELS, QUARANTINE, SPLITS
from cxr_spark.tables.text import printable

#: Bytes of pixels in one prepared file: large enough for HDFS and S3, small enough to be written from memory.
FILE_BYTES = 32 * 2**20
#: However small the images, a file is no more than this many: a task should be done in a minute or so.
MAX_FILE_ROWS = 2048
#: The number of files for each core on small data: more than `FILE_BYTES` asks for, so that all cores are busy ...
FILES_PER_CORE = 3
#: ... as long as a file keeps this many images ...
MIN_FILE_ROWS = 32
#: ... and this many files even then, so that some training ranks can share a tiny split.
MIN_FILES = 4

#: The columns of a part: for each image its labels and the file to read.
PART_COLUMNS: pa.Schema = (
    LABELS.remove(LABELS.get_field_index("split"))
    .append(pa.field("uri", pa.string()))
    .append(pa.field("size", pa.int64()))
)


@dataclass(frozen=True)
class Part:
    """The images of one prepared file.

    Attributes:
        number: its position among all parts. It is in the name of the file.
        split: the split of all its images.
        images: columns of `PART_COLUMNS`, in the order of image_index.
    """

    number: int
    split: str
    images: pa.Table


@dataclass(frozen=True)
class Counts:
    """How many files and labels belong together. With the prepared and the quarantined images these sums hold:

    images_found = joined + images_without_label + (quarantined for their path), and
    joined = prepared + images_in_no_split + (quarantined otherwise).

    Attributes:
        images_found: image files, hidden ones too.
        ignored_files: files that are no images by their names or first bytes.
        labels_found: labelled images in the label file.
        joined: image files that have a label.
        images_without_label: image files that have none.
        labels_without_image: labelled images whose file was not found.
        images_in_no_split: image files that have a label but belong to no split, or not to subset or sample.
        wanted: distinct images with label, split and at least one file: those that would be prepared if all were well.
    """

    images_found: int
    ignored_files: int
    labels_found: int
    joined: int
    images_without_label: int
    labels_without_image: int
    images_in_no_split: int
    wanted: int


@dataclass(frozen=True)
class Plan:
    """The images of a preparation, cut into parts, and the counts that are known before any image is read.

    Attributes:
        parts: the parts, one for each file to write.
        set_aside: columns of `schema.QUARANTINE`: images that are rejected for their names and never read.
        counts: how many files and labels belong together.
    """

    parts: tuple[Part, ...]
    set_aside: pa.Table
    counts: Counts


def make_plan(
    found: ImageFiles,
    image_index: Callable[[str, str], str],
    labelled: pa.Array | pa.ChunkedArray,
    labels: pa.Table,
    *,
    size: int,
    cores: int,
) -> Plan:
    """Joins files with labels and cuts every split into parts.

    Args:
        found: the image files.
        image_index: the name of an image in the label file, from its URI and the URI of the folder that was searched.
        labelled: names of all labelled images, in a split or not.
        labels: columns of `schema.LABELS`: the labelled images that are in a split.
        size: side of the stored images, pixels.
        cores: tasks that run at the same time.

    Returns:
        The plan; every split's images in order of image_index.

    Raises:
        DataError: there are no images, or none of them has a label and a split.
    """
    if not found.files:
        raise DataError(
            f"no .png, .jpg, .jpeg or .dcm file found among {found.ignored} files, nor one that is such inside: "
            "check --images"
        )
    # Names stay Python's own strings: those of pandas 3 are UTF-8, which the name of a file need not be.
    files = pd.DataFrame(found.files, dtype=object)
    files["image_index"] = pd.Series([image_index(file.uri, file.root) for file in found.files], dtype=object)
    named_well = files["problem"].isna()
    files["has_label"] = files["image_index"].isin(labelled.to_pandas())
    files["row"] = pd.Index(labels["image_index"].to_pandas()).get_indexer(files["image_index"])

    usable = files[named_well]
    joined = usable[usable["has_label"]]
    in_split = joined[joined["row"] >= 0]
    twice = in_split["image_index"].duplicated(keep=False)
    counts = Counts(
        images_found=len(files),
        ignored_files=found.ignored,
        labels_found=len(labelled),
        joined=len(joined),
        images_without_label=len(usable) - len(joined),
        labels_without_image=len(labelled) - joined["image_index"].nunique(),
        images_in_no_split=len(joined) - len(in_split),
        wanted=files.loc[files["row"] >= 0, "image_index"].nunique(),
    )
    if in_split.empty:
        raise DataError(_why_nothing_joined(files, counts, labelled))
    set_aside = pd.concat([files[~named_well], in_split[twice].assign(problem=DUPLICATE_NAME)])
    parts = _cut(in_split[~twice], labels, size, cores)
    return Plan(tuple(parts), _quarantined(set_aside), counts)


def rows_per_file(size: int) -> int:
    """Returns how many images of a side of `size` pixels make a file of about `FILE_BYTES`."""
    return max(1, min(MAX_FILE_ROWS, FILE_BYTES // size**2))


def number_of_files(images: int, size: int, cores: int) -> int:
    """Returns into how many files a split of so many images is cut."""
    by_size = math.ceil(images / rows_per_file(size))
    by_cores = min(FILES_PER_CORE * cores, math.ceil(images / MIN_FILE_ROWS))
    return min(images, max(by_size, by_cores, MIN_FILES))


def _cut(files: pd.DataFrame, labels: pa.Table, size: int, cores: int) -> list[Part]:
    images = labels.take(pa.array(files["row"].to_numpy()))
    images = images.append_column("uri", pa.array(files["uri"], type=pa.string()))
    images = images.append_column("size", pa.array(files["size"], type=pa.int64()))
    images = images.sort_by("image_index")
    parts: list[Part] = []
    for split in SPLITS:
        of_split = images.filter(pa.compute.equal(images["split"], split)).select(PART_COLUMNS.names).cast(PART_COLUMNS)
        if not of_split.num_rows:
            continue
        cuts = np.linspace(0, of_split.num_rows, number_of_files(of_split.num_rows, size, cores) + 1).astype(int)
        for start, end in zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True):
            # Rows of its own, since a slice would take all rows of the split along to the executors.
            rows = of_split.take(pa.array(np.arange(start, end)))
            parts.append(Part(len(parts), split, rows.combine_chunks()))
    return parts


def _quarantined(files: pd.DataFrame) -> pa.Table:
    """Builds quarantine rows of files that are ruled out by their names."""
    rows = [
        {"image_index": printable(index), "uri": printable(uri), "reason": reason, "detail": REASONS[reason]}
        for index, uri, reason in zip(files["image_index"], files["uri"], files["problem"], strict=True)
    ]
    return pa.Table.from_pylist(rows, schema=QUARANTINE)


def _why_nothing_joined(files: pd.DataFrame, counts: Counts, labelled: pa.Array | pa.ChunkedArray) -> str:
    if counts.joined:
        return (
            f"none of the {counts.joined} labelled images is in a split: check that --train-list and --test-list "
            "belong to these images, or use --split patient"
        )
    name, label = printable(files["image_index"].iloc[0]), labelled[0].as_py()
    named_badly = int(files["problem"].notna().sum())
    more = f" ({named_badly} have hidden or unusable names)" if named_badly else ""
    return (
        f"none of the {counts.images_found} images{more} has a label: images are named like {name!r}, "
        f"the {counts.labels_found} labels like {label!r}; check --images, --labels and --dataset"
    )
