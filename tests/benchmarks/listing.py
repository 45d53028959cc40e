"""Measures the driver's memory for a listing of millions of images that are not there.

The folder that is listed is simulated: the file system names so many files and has none of them. Everything that the
driver does before the first Spark job then runs as it is: listing, reading of labels, joining, splitting, fingerprint,
cutting into parts.

    python -m tests.benchmarks.listing prepare 1000000
    python -m tests.benchmarks.listing headers 1000000     # the same of DICOM files, whose headers complete the labels
    python -m tests.benchmarks.listing score 1000000

It prints one line of JSON: the greatest memory of the process without what the imports take, the size of what is sent
to the tasks, which Spark's driver holds for the time of the job, both in bytes a file, and the seconds.
"""

from __future__ import annotations

import json
import pickle
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast
from unittest import mock

from cxr_spark.config import PrepareSettings
from cxr_spark.datasets.base import LabelFile
from cxr_spark.datasets.joining import join_names
from cxr_spark.datasets.registry import LabelSource, dataset_named
from cxr_spark.imaging.dicom.person import Person
from cxr_spark.imaging.listing import survey_images
from cxr_spark.preparation import headers
from cxr_spark.preparation.request import make_request
from cxr_spark.preparation.sources import Sources, Texts, fingerprint
from cxr_spark.scoring.request import raw_request
from cxr_spark.storage.file_system import Entry
from cxr_spark.storage.local import LocalFileSystem
from tests.support.memory import peak_memory

FOLDER = "/data/hospital/images"


def name_of(image: int, suffix: str) -> str:
    """Returns the name of an image; four images are of one patient."""
    return f"{image // 4:08d}_{image % 4:03d}.{suffix}"


def listed(files: int, suffix: str) -> Callable[..., Iterator[Entry]]:
    """Returns a `walk` that finds so many files in folders of ten thousand."""

    def walk(*_: Any) -> Iterator[Entry]:
        for image in range(files):
            folder = f"{FOLDER}/images_{image // 10_000:04d}"
            yield Entry(f"{folder}/{name_of(image, suffix)}", 400_000 + image % 1000, 1.7e9 + image)

    return walk


def label_file(files: int, suffix: str) -> bytes:
    """Returns a label file in NIH's layout, with a row for each file."""
    rows = [
        "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
        "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
    ]
    for image in range(files):
        finding = ("No Finding", "Mass|Nodule", "Effusion")[image % 3]
        known = "058Y,F,PA" if suffix == "png" else ",,"
        rows.append(
            f"{name_of(image, suffix)},{finding},{image % 4},{image // 4},{known},{2500 + image % 500},2991,0.143,0.143"
        )
    return "\n".join(rows).encode()


def headers_read(files: int) -> Iterator[Person]:
    """Yields what the executors read in the headers."""
    for image in range(files):
        uids = (f"1.2.826.0.1.3680043.8.498.{kind}.{image:032d}" for kind in range(3))
        yield Person("M", f"{image % 90:03d}Y", "PA", f"P{image // 4}", "DX", "CHEST", *uids)


def prepare(files: int, suffix: str) -> Sequence[Any]:
    """Does what the driver of `prepare` does before the pixels are read, and returns the parts."""
    settings = PrepareSettings(images=(FOLDER,), labels=("labels.csv",), split="patient")
    sources = Sources((f"file://{FOLDER}",), ("labels.csv",), None, None)
    texts = Texts((LabelFile(label_file(files, suffix), "labels.csv"),), {})
    dataset = dataset_named("nih")
    found, _ = survey_images(sources.images)
    images = {dataset.image_index(file.uri, file.root): file.uri for file in found.files if file.problem is None}
    joined = join_names(dataset, images, dataset.read_labels(LabelSource(texts.labels, list(images), settings)))
    spark = cast(Any, SimpleNamespace(sparkContext=SimpleNamespace(defaultParallelism=8)))
    with mock.patch.object(headers, "run_parts", side_effect=lambda *_: list(headers_read(files))):
        known = headers.with_headers(spark, joined.labels, joined.uris)
    request = make_request(settings, sources, texts, found, replace(joined, labels=known), 8)
    fingerprint(settings, sources, texts, found)
    assert sum(part.images.num_rows for part in request.plan.parts) == files
    return request.plan.parts


def score(files: int) -> Sequence[Any]:
    """Does what the driver of `score` does before the first image is read, and returns the parts."""
    request = raw_request([f"file://{FOLDER}"], "name", 8)
    assert sum(len(part.images) for part in request.parts) == files  # type: ignore[union-attr]
    return request.parts


def plan(what: str, files: int) -> Sequence[Any]:
    """Does what the driver does for a listing of so many files."""
    suffix = "dcm" if what == "headers" else "png"
    with mock.patch.object(LocalFileSystem, "walk", listed(files, suffix)):
        return score(files) if what == "score" else prepare(files, suffix)


def main() -> None:
    """Measures what the command line names."""
    what, files = sys.argv[1], int(sys.argv[2])
    plan(what, 1000)  # loads what is loaded at the first use
    before, started = peak_memory(), time.monotonic()
    parts = plan(what, files)
    seconds, taken = time.monotonic() - started, (peak_memory() - before) / files
    sent = sum(len(pickle.dumps(part)) for part in parts) / files
    told = {"bytes_a_file": round(taken), "sent_bytes_a_file": round(sent), "seconds": round(seconds)}
    print(json.dumps({"what": what, "files": files, **told}))


if __name__ == "__main__":
    main()
