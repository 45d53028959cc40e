"""The tables that cross a job boundary, as Arrow schemas."""

from __future__ import annotations

import pyarrow as pa

TRAIN, VALIDATION, TEST = "train", "val", "test"
#: The splits of a prepared dataset. On disk a split is the folder `data/split=NAME`, not a column of the files.
SPLITS: tuple[str, ...] = (TRAIN, VALIDATION, TEST)

_IDENTITY = [
    pa.field("image_index", pa.string(), nullable=False),
    pa.field("patient_id", pa.string()),
    pa.field("view_position", pa.string()),
    pa.field("sex", pa.string()),
    pa.field("age", pa.float64()),  # years
]

#: The labels of images, one row for each image, before any image is read. Every dataset reader returns such a table.
LABELS = pa.schema(
    [
        *_IDENTITY,
        pa.field("labels", pa.list_(pa.float32()), nullable=False),  # NaN = not known, masked in the loss
        pa.field("split", pa.string(), nullable=False),
    ]
)

#: The images of a file in `data/split=NAME`. `pixels` is row-major uint8 of size x size; height and width, in pixels,
#: are those of the original image.
PREPARED = pa.schema(
    [
        *_IDENTITY,
        pa.field("labels", pa.list_(pa.float32()), nullable=False),
        pa.field("height", pa.int32(), nullable=False),
        pa.field("width", pa.int32(), nullable=False),
        pa.field("pixels", pa.binary(), nullable=False),
        pa.field("uri", pa.string(), nullable=False),
    ]
)

#: Images that a job could not use: `reason` is a short code, `detail` tells in words what is wrong.
QUARANTINE = pa.schema(
    [
        pa.field("image_index", pa.string(), nullable=False),
        pa.field("uri", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("detail", pa.string()),
    ]
)

#: The UIDs of a DICOM image by which an archive finds it, named as in DICOM PS3.3.
DICOM_UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")

#: The predictions that the score job writes. What is not known is null, such as the labels of raw images.
PREDICTIONS = pa.schema(
    [
        *_IDENTITY,
        pa.field("split", pa.string()),
        pa.field("labels", pa.list_(pa.float32())),
        pa.field("probabilities", pa.list_(pa.float32()), nullable=False),
        pa.field("model_id", pa.string(), nullable=False),
        pa.field("engine", pa.string()),  # the library that ran the network; null in the scores of earlier versions
        pa.field("precision", pa.string()),  # the number format: fp32 or bf16
    ]
)

#: The predictions of raw images. The UIDs are null for files that are not DICOM.
RAW_PREDICTIONS = pa.schema([*PREDICTIONS, *(pa.field(name, pa.string()) for name in DICOM_UIDS)])
