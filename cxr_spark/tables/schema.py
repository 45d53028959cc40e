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

#: One label row per image, before any image is read: what every dataset reader gives.
LABELS = pa.schema(
    [
        *_IDENTITY,
        pa.field("labels", pa.list_(pa.float32()), nullable=False),  # NaN = not known, masked in the loss
        pa.field("split", pa.string(), nullable=False),
    ]
)

#: A file of `data/split=NAME`. `pixels` is row-major uint8 of size x size; height and width are the original's.
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

#: Images that were set aside: `reason` is a short code, `detail` says what was seen.
QUARANTINE = pa.schema(
    [
        pa.field("image_index", pa.string(), nullable=False),
        pa.field("uri", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("detail", pa.string()),
    ]
)

#: The UIDs of a DICOM image, by which an archive finds it again, as DICOM PS3.3 names them.
DICOM_UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")

#: What the score job writes. For raw images `labels` and everything else that is not known is null.
PREDICTIONS = pa.schema(
    [
        *_IDENTITY,
        pa.field("split", pa.string()),
        pa.field("labels", pa.list_(pa.float32())),
        pa.field("probabilities", pa.list_(pa.float32()), nullable=False),
        pa.field("model_id", pa.string(), nullable=False),
    ]
)

#: What it writes of raw images; of files that are no DICOM the UIDs are null.
RAW_PREDICTIONS = pa.schema([*PREDICTIONS, *(pa.field(name, pa.string()) for name in DICOM_UIDS)])
