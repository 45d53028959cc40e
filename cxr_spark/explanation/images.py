"""Reads the images of a task, from a prepared file or from image files, with what their pictures show. No Spark."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cxr_spark.explanation.overlay import SIDE
from cxr_spark.explanation.plan import ChosenPart
from cxr_spark.imaging.decode import decode_grey
from cxr_spark.imaging.dicom.gate import DicomGate
from cxr_spark.imaging.grey import WHITE_LEVEL
from cxr_spark.imaging.reading import ahead, read_image_file
from cxr_spark.imaging.rejected import ImageRejected
from cxr_spark.imaging.resize import ResizeMode, resize
from cxr_spark.models.metadata import Preprocessing
from cxr_spark.scoring.plan import Part, RawImage, RawPart
from cxr_spark.storage.store import Store
from cxr_spark.tables.prepared import binary_images
from cxr_spark.tables.prepared_files import naming_damage, read_batches, read_columns

_COLUMNS = ("image_index", "labels", "height", "width", "pixels")


@dataclass(frozen=True)
class ViewedImage:
    """An image to explain.

    Attributes:
        image_index: the name of the image.
        pixels: uint8 (S, S), the prepared square.
        view: uint8 (SIDE, SIDE), the same square for the picture, as sharp as the source allows.
        height: the height of the original image in pixels.
        width: the width of the original image in pixels.
        labels: whether it has each finding whose label is known; None where there are no labels.
        doubts: reasons for which a DICOM image may not be what the model is for.
    """

    image_index: str
    pixels: NDArray[np.uint8]
    view: NDArray[np.uint8]
    height: int
    width: int
    labels: Mapping[str, bool] | None
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True)
class ImageSource:
    """Where the images to explain come from.

    Attributes:
        data: the URI of the prepared dataset; None for raw images.
        findings: the names of the findings, in the order of the dataset's labels.
        gate: the rule by which raw DICOM images are explained or refused.
    """

    data: str | None
    findings: tuple[str, ...] = ()
    gate: DicomGate = field(default_factory=DicomGate)

    def images(
        self, chosen: ChosenPart, preprocessing: Preprocessing, batch: int, threads: int
    ) -> Iterator[ViewedImage | dict[str, str]]:
        """Reads the chosen images of a part. In place of a raw image that cannot be used it yields its quarantine row.

        Args:
            chosen: the part, and which of its images are wanted.
            preprocessing: the preprocessing of the model.
            batch: the number of rows of prepared data to read at a time.
            threads: the number of threads that read raw images.

        Raises:
            DataError: the prepared data are damaged.
            RunError: a file cannot be read.
        """
        if isinstance(chosen.part, RawPart):
            return raw_images(chosen.part, preprocessing, self.gate, threads)
        return prepared_images(chosen, self.data or "", self.findings, batch)

    def names(self, part: Part) -> list[str]:
        """Returns the names of the images of a part: see `image_names`."""
        return image_names(part, None if self.data is None else Store(self.data))


def prepared_images(chosen: ChosenPart, data: str, findings: tuple[str, ...], batch: int) -> Iterator[ViewedImage]:
    """Reads the images of a prepared file.

    Args:
        chosen: the file, and which of its images are wanted.
        data: the URI of the dataset.
        findings: the names of the findings, in the order of the labels.
        batch: the number of rows to read at a time.

    Raises:
        DataError: the file is damaged.
        RunError: the file cannot be read.
    """
    store, part = Store(data), chosen.part
    if isinstance(part, RawPart):
        raise TypeError("expected a file of a prepared dataset, got raw images")
    left = None if chosen.names is None else len(chosen.names)
    for rows in read_batches(store, part.name, _COLUMNS, batch, part.sha256):
        with naming_damage(store.uri_of(part.name)):
            pixels = binary_images(rows["pixels"])
            facts = rows.select(["image_index", "labels", "height", "width"]).to_pylist()
        for row, square in zip(facts, pixels, strict=True):
            if chosen.names is not None and row["image_index"] not in chosen.names:
                continue
            with naming_damage(store.uri_of(part.name)):
                image = _prepared(row, square, findings)
            yield image
            left = None if left is None else left - 1
        if left == 0:
            return


def image_names(part: Part, data: Store | None) -> list[str]:
    """Returns the names of the images of a part; of a prepared file they are read from it.

    Args:
        part: the images of one task of the score job.
        data: the prepared dataset; None for raw images.

    Raises:
        DataError: the prepared file cannot be read.
    """
    if isinstance(part, RawPart):
        return [image.image_index for image in part.images]
    store = data or Store("")
    table = read_columns(store, part.name, ["image_index"])
    return [str(name) for name in table["image_index"].to_pylist()]


def raw_images(
    part: RawPart, preprocessing: Preprocessing, gate: DicomGate, threads: int
) -> Iterator[ViewedImage | dict[str, str]]:
    """Reads raw images. In place of an image that cannot be used or is refused it yields its row of the quarantine."""

    def load(image: RawImage) -> ViewedImage:
        data = read_image_file(image.uri, image.size)
        doubts = gate.look(data).doubts
        grey = decode_grey(data, preprocessing.white_level or WHITE_LEVEL)
        mode: ResizeMode = preprocessing.resize
        square = resize(grey, preprocessing.stored_size, mode)
        view = resize(grey, SIDE, mode)
        return ViewedImage(image.image_index, square, view, grey.shape[0], grey.shape[1], None, doubts)

    for image, future in zip(part.images, ahead(part.images, load, threads=threads), strict=True):
        try:
            yield future.result()
        except ImageRejected as error:
            row = {"image_index": image.image_index, "uri": image.uri}
            yield {**row, "reason": error.reason, "detail": error.detail}


def _prepared(row: dict[str, Any], square: NDArray[np.uint8], findings: tuple[str, ...]) -> ViewedImage:
    labels = row["labels"]
    if len(labels) != len(findings):
        raise ValueError(f"a row has {len(labels)} labels, the manifest names {len(findings)}")
    return ViewedImage(
        row["image_index"],
        square,
        resize(square, SIDE, "squash"),
        row["height"],
        row["width"],
        {name: value == 1 for name, value in zip(findings, labels, strict=True) if value in (0, 1)},
    )
