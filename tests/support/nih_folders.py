"""Folders of images with NIH's label files, and what the prepare job makes of them."""

from __future__ import annotations

import csv
import json

import cv2
import numpy as np

from cxr_spark.commands.main import main

HEADER = [
    "Image Index",
    "Finding Labels",
    "Follow-up #",
    "Patient ID",
    "Patient Age",
    "Patient Gender",
    "View Position",
]


RNG = np.random.default_rng(3)


def image(side=48):
    return cv2.imencode(".png", RNG.integers(0, 256, (side, side), dtype=np.uint8))[1].tobytes()


def make_set(folder, images, unlabelled=(), labels_only=()):
    """Writes {path: bytes} and a label file of their base names, one patient an image."""
    for path, content in images.items():
        file = folder / "images" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    names = sorted({path.rpartition("/")[2] for path in images} - set(unlabelled)) + list(labels_only)
    with (folder / "labels.csv").open("w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(HEADER)
        table.writerows([name, "Mass|Effusion", 0, i, "058Y", "M", "PA"] for i, name in enumerate(names, 1))
    return folder


def arguments_for(folder, *options):
    return ["prepare", "--images", str(folder / "images"), "--labels", str(folder / "labels.csv"), "--split", "patient",
            "--out", str(folder / "out"), "--size", "32", *options]  # fmt: skip


def prepare(folder, *options):
    return main(arguments_for(folder, *options))


def manifest_of(folder):
    return json.loads((folder / "out" / "manifest.json").read_text())


def parquet_files(folder):
    return sorted(path for path in (folder / "out").rglob("*") if "part-" in path.name)
