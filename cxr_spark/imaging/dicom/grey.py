"""Stored values of a DICOM image to 8-bit grey: DICOM's chain of rescale, window and polarity. Needs the extra `dicom`.

An image has at most 65,536 different stored values, so the chain is run once for each possible value and the image is
then looked up.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cxr_spark.imaging.dicom.frame import keeps_channels
from cxr_spark.imaging.dicom.header import DicomHeader
from cxr_spark.imaging.grey import luma
from cxr_spark.imaging.rejected import CORRUPT, UNSUPPORTED_FORMAT, ImageRejected

if TYPE_CHECKING:
    from pydicom import Dataset


def to_grey(values: NDArray[Any], header: DicomHeader) -> NDArray[np.uint8]:
    """Converts stored values to grey as a viewer first shows them.

    Steps: the modality's rescale or table; the first table or window of interest (VOI) of the file; MONOCHROME1 turned
    over. Without table or window 8-bit values keep their full range, and longer ones spread from the image's lowest to
    its highest: detectors declare more bits than they fill.

    Args:
        values: integers of 8 or 16 bits, (H, W), as stored.
        header: of the file.

    Returns:
        Contiguous uint8 array of shape (H, W).

    Raises:
        ImageRejected: rescale, table or window are not usable.
    """
    index = _index(values, header)
    scaled = _modality_values(header)
    shown = _window(scaled, header.dataset)
    if shown is None:
        used = scaled if header.bits_stored <= 8 else scaled[np.bincount(index.ravel(), minlength=scaled.size) > 0]
        low, high = used.min(), used.max()
        shown = (scaled - low) / (high - low) if high > low else np.zeros_like(scaled)
    if header.photometric == "MONOCHROME1":
        shown = 1 - shown
    table = np.rint(255 * np.clip(shown, 0, 1)).astype(np.uint8)
    grey: NDArray[np.uint8] = table[index]
    return grey


def grey_of_colour(values: NDArray[np.uint8], header: DicomHeader) -> NDArray[np.uint8]:
    """Converts colours (H, W, 3) to grey (H, W): their luma."""
    if header.photometric == "YBR_FULL" and keeps_channels(header):
        return np.ascontiguousarray(values[:, :, 0])
    return luma(values)


def _index(values: NDArray[Any], header: DicomHeader) -> NDArray[np.uint16]:
    """Returns the bits of each stored value, without what lies above and below them, as a number 0..2^bits_stored-1."""
    if values.dtype.itemsize == 1 and values.dtype.kind == "i":
        values = values.astype(np.int16)
    bits: NDArray[np.uint16] = values.astype(f"{values.dtype.kind}2", copy=False).view(np.uint16)
    below = header.high_bit + 1 - header.bits_stored
    kept: NDArray[np.uint16] = (bits >> np.uint16(below)) & np.uint16(2**header.bits_stored - 1)
    return kept


def _modality_values(header: DicomHeader) -> NDArray[np.float64]:
    """Returns what every possible stored value, in the order of its bits, means to the modality."""
    from pydicom.pixels import apply_modality_lut

    stored = np.arange(2**header.bits_stored, dtype=np.int32)
    if header.signed:
        stored[stored.size // 2 :] -= stored.size
    scaled: NDArray[np.float64] = np.asarray(apply_modality_lut(stored, header.dataset), dtype=np.float64)
    if not np.isfinite(scaled).all() or scaled.min() == scaled.max():
        raise ImageRejected(CORRUPT, "DICOM rescale that leaves nothing to see")
    return scaled


def _window(scaled: NDArray[np.float64], dataset: Dataset) -> NDArray[np.float64] | None:
    """Applies the first VOI table or window: DICOM PS3.3, C.11.2.1.

    Returns:
        0 (black) to 1 (white), or None where the file has neither. A window without width says nothing.
    """
    from pydicom.pixels import apply_voi

    if dataset.get("VOILUTSequence"):
        shown = np.asarray(apply_voi(scaled.astype(np.int32), dataset), dtype=np.float64)
        return np.asarray(shown / (2 ** int(dataset.VOILUTSequence[0].LUTDescriptor[2]) - 1))
    center, width = (_first_number(dataset.get(name)) for name in ("WindowCenter", "WindowWidth"))
    if center is None or width is None or not (np.isfinite(center) and np.isfinite(width)) or width <= 0:
        return None
    function = str(dataset.get("VOILUTFunction") or "LINEAR")
    if function == "SIGMOID":
        return np.asarray(1 / (1 + np.exp(np.clip(-4 * (scaled - center) / width, -700, 700))))
    if function == "LINEAR_EXACT":
        return np.asarray((scaled - center) / width + 0.5)
    if function != "LINEAR":
        raise ImageRejected(UNSUPPORTED_FORMAT, "DICOM window of an unknown function")
    return np.asarray((scaled - (center - 0.5)) / max(width - 1, 1e-6) + 0.5)


def _first_number(value: Any) -> float | None:
    if isinstance(value, Iterable) and not isinstance(value, str):
        value = next(iter(value), None)
    return None if value is None or value == "" else float(value)
