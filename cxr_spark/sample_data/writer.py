"""Writes a synthetic set in the layout of NIH's download. Several processes draw, several threads write."""

from __future__ import annotations

import csv
import io
import logging
import multiprocessing
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from itertools import repeat

import cv2
import psutil

from cxr_spark.datasets.findings import NIH_FINDINGS
from cxr_spark.sample_data.cohort import Picture, draw_cohort
from cxr_spark.sample_data.drawing import NOTICE, draw_picture
from cxr_spark.sample_data.patterns import Box
from cxr_spark.storage.store import Store
from cxr_spark.tables.notice import NOTICE_NAME

log = logging.getLogger(__name__)

LABELS_NAME, BOXES_NAME = "Data_Entry_2017.csv", "BBox_List_2017.csv"
TRAIN_LIST_NAME, TEST_LIST_NAME = "train_val_list.txt", "test_list.txt"
README_NAME = "README.md"

_CHUNK = 32
#: The number of threads that write. A file on HDFS takes 0.4 s whatever its size, and most of that is waiting.
_WRITERS = 8
#: The number of pixels that are drawn in the time that a process takes to start. Fewer are not worth a process.
_PIXELS_PER_PROCESS = 5_000_000
#: The width of what a picture shows, about 40 cm in NIH's set. The label file gives the size of a pixel in mm.
_WIDTH_MM = 400.0
_LABELS_HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],"
)
_BOXES_HEADER = "Image Index,Finding Label,Bbox [x,y,w,h],,,"
#: NIH's boxes are in pixels of its 1,024 x 1,024 images, whatever the size of a copy, and so are these.
_BOX_SIDE = 1024
#: The names in NIH's list of boxes that differ from those in its label file.
_BOX_NAMES = {"Infiltration": "Infiltrate"}

Boxes = list[tuple[str, Box]]


def write_sample_data(
    store: Store, images: int, size: int, seed: int, note: Callable[[list[str]], None] | None = None
) -> dict[str, object]:
    """Writes a set: pictures in `images_00N/images/`, label file, boxes and both lists, all as NIH has them.

    The same arguments give the same bytes. The notice is written first and the label file last. So the files of a run
    that was killed say that they are synthetic, and nobody takes them for a complete set.

    Args:
        store: the folder to write into.
        images: the number of pictures, at least 3.
        size: the side of the pictures in pixels.
        seed: the seed of all random draws.
        note: called with the names of all pictures before the first one is written.

    Returns:
        The numbers of images and patients, of images in both lists, and of images with each label.
    """
    started = time.monotonic()
    store.write_bytes(NOTICE_NAME, f"{NOTICE}\n".encode())
    pictures = draw_cohort(images, seed)
    if note is not None:
        note([_file_name(picture) for picture in pictures])
    boxes = list(_draw_all(store, pictures, size, seed))
    listed = {test: [picture.name for picture in pictures if picture.test is test] for test in (False, True)}
    summary: dict[str, object] = {
        "images": len(pictures),
        "patients": len({picture.patient for picture in pictures}),
        "train_val": len(listed[False]),
        "test": len(listed[True]),
        "findings": _label_counts(pictures),
    }
    store.write_bytes(BOXES_NAME, _boxes_csv(pictures, boxes))
    store.write_bytes(TRAIN_LIST_NAME, "\n".join(listed[False]).encode())
    store.write_bytes(TEST_LIST_NAME, "\n".join(listed[True]).encode())
    store.write_bytes(README_NAME, _readme(pictures, size, seed).encode())
    store.write_bytes(LABELS_NAME, _labels_csv(pictures, size))
    log.info("drew %d synthetic images of %d px in %.1f s", images, size, time.monotonic() - started)
    return summary


def _draw_all(store: Store, pictures: Sequence[Picture], size: int, seed: int) -> Iterator[Boxes]:
    chunks = [pictures[at : at + _CHUNK] for at in range(0, len(pictures), _CHUNK)]
    work = (repeat(store), chunks, repeat(size), repeat(seed))
    processes = min(_cores(), len(chunks), len(pictures) * size * size // _PIXELS_PER_PROCESS)
    if processes < 2:
        for done in map(_draw_chunk, *work):
            yield from done
        return
    # Fresh processes, not forks: OpenCV's threads and a Spark gateway do not survive a fork.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context, initializer=cv2.setNumThreads, initargs=(1,)) as pool:
        for done in pool.map(_draw_chunk, *work):
            yield from done


def _draw_chunk(store: Store, pictures: Sequence[Picture], size: int, seed: int) -> list[Boxes]:
    boxes, written = [], []
    with ThreadPoolExecutor(_WRITERS) as pool:
        for picture in pictures:
            data, found = draw_picture(picture, size, seed)
            written.append(pool.submit(store.write_bytes, _file_name(picture), data))
            boxes.append(found)
    for each in written:
        each.result()  # raises the error of a file that could not be written
    return boxes


def _file_name(picture: Picture) -> str:
    return f"images_{picture.folder:03d}/images/{picture.name}"


def _cores() -> int:
    process = psutil.Process()
    return len(process.cpu_affinity()) if hasattr(process, "cpu_affinity") else psutil.cpu_count() or 1


def _labels_csv(pictures: Iterable[Picture], size: int) -> bytes:
    """Returns the label file in the format of 2017: CRLF, bracketed names, a comma too many in the header."""
    spacing = f"{_WIDTH_MM / size:.3f}"
    lines = [_LABELS_HEADER]
    for p in pictures:
        visit = f"{p.follow_up:03d},{p.patient:08d},{p.age:03d}Y,{p.sex},{p.view}"
        lines.append(f"{p.name},{'|'.join(p.labels)},{visit},{size},{size},{spacing},{spacing}")
    return "".join(f"{line}\r\n" for line in lines).encode()


def _boxes_csv(pictures: Sequence[Picture], boxes: Sequence[Boxes]) -> bytes:
    """Returns the list of boxes: x, y, width and height in pixels of a picture of `_BOX_SIDE`."""
    text = io.StringIO()
    text.write(f"{_BOXES_HEADER}\n")
    rows = csv.writer(text, lineterminator="\n")
    for picture, found in zip(pictures, boxes, strict=True):
        for finding, box in found:
            values = (f"{value * _BOX_SIDE:.2f}" for value in box)
            rows.writerow([picture.name, _BOX_NAMES.get(finding, finding), *values])
    return text.getvalue().encode()


def _label_counts(pictures: Iterable[Picture]) -> dict[str, int]:
    counts = Counter(label for picture in pictures for label in picture.labels)
    return {name: counts[name] for name in NIH_FINDINGS}


def _readme(pictures: Sequence[Picture], size: int, seed: int) -> str:
    counts = "\n".join(f"| {name} | {count} |" for name, count in _label_counts(pictures).items())
    return f"""# A synthetic chest X-ray set

**{NOTICE}**

Made by `cxr-spark sample-data --images {len(pictures)} --size {size} --seed {seed}`, to try the pipeline where no real
data may go. A figure measured on it, an AUC above all, says that the pipeline works and nothing about how well a model
reads X-rays. The folder has the layout of NIH ChestX-ray14 (Wang et al., ChestX-ray8, CVPR 2017), whose place it takes:

| file | what |
|---|---|
| `images_00N/images/*.png` | {len(pictures)} grey pictures of {size} x {size}, marked in a corner and in a text chunk |
| `{LABELS_NAME}` | labels, in the format of NIH's file of 2017; all its values are invented |
| `{TRAIN_LIST_NAME}`, `{TEST_LIST_NAME}` | the split, by patient |
| `{BOXES_NAME}` | where the findings were drawn, in pixels of a 1,024 x 1,024 copy, as NIH's boxes are |

| label | images |
|---|---|
{counts}
"""
