"""Stored values of a DICOM image to 8-bit grey: DICOM's chain of rescale, window and polarity. Needs the extra `dicom`.

An image has at most 65,536 different stored values, so the chain is run once for each possible value and the image is
then looked up. Chain and formulas: DICOM PS3.3, C.11.1 (modality) and C.11.2 (VOI, "values of interest").
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cxr_spark.imaging.dicom.display import Display, Table, Window, read_display
from cxr_spark.imaging.dicom.frame import keeps_channels
from cxr_spark.imaging.dicom.header import DicomHeader
from cxr_spark.imaging.grey import luma
from cxr_spark.imaging.rejected import CORRUPT, ImageRejected


def to_grey(values: NDArray[Any], header: DicomHeader) -> NDArray[np.uint8]:
    """Converts stored values to grey as a viewer first shows them.

    Steps: the modality's rescale or table; the first table or window of interest (VOI) of the file; MONOCHROME1 turned
    over. Without table or window 8-bit values keep their full range, and longer ones spread from the image's lowest to
    its highest: detectors declare more bits than they fill. Values that the file declares as padding around the picture
    do not count in that spread and become black.

    Args:
        values: integers of 8 or 16 bits, (H, W), as stored.
        header: the header of the file.

    Returns:
        Contiguous uint8 array of shape (H, W).

    Raises:
        ImageRejected: rescale, table or window are not usable.
    """
    display = read_display(header)
    index = _index(values, header)
    stored = _stored_values(header)
    padding = display.is_padding(stored)
    with np.errstate(over="ignore", invalid="ignore"):  # what is beyond measure is rejected, or is black or white
        shown = _shown(stored, index, padding, display, header)
    if np.isnan(shown).any():
        raise ImageRejected(CORRUPT, "DICOM rescale or window whose numbers are beyond measure")
    if header.photometric == "MONOCHROME1":
        shown = 1 - shown
    shown[padding] = 0
    table = np.rint(255 * np.clip(shown, 0, 1)).astype(np.uint8)
    grey: NDArray[np.uint8] = table[index]
    return grey


def _shown(
    stored: NDArray[np.int32],
    index: NDArray[np.uint16],
    padding: NDArray[np.bool_],
    display: Display,
    header: DicomHeader,
) -> NDArray[np.float64]:
    """Returns how bright every possible stored value is, 0 to 1 and beyond: float64 (2^bits_stored,)."""
    scaled = _modality_values(stored, display)
    shown: NDArray[np.float64]
    if display.table is not None:
        shown = display.table.shares(scaled)
    elif display.window is not None:
        shown = _windowed(scaled, display.window)
    else:
        used = ~padding
        if header.bits_stored > 8:
            used &= np.bincount(index.ravel(), minlength=scaled.size) > 0
        low, high = (scaled[used].min(), scaled[used].max()) if used.any() else (0.0, 0.0)
        shown = (scaled - low) / (high - low) if high > low else np.zeros_like(scaled)
    return shown


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


def _stored_values(header: DicomHeader) -> NDArray[np.int32]:
    """Returns every possible stored value in the order of its bits: int32 (2^bits_stored,)."""
    stored = np.arange(2**header.bits_stored, dtype=np.int32)
    if header.signed:
        stored[stored.size // 2 :] -= stored.size
    return stored


def _modality_values(stored: NDArray[np.int32], display: Display) -> NDArray[np.float64]:
    """Returns what every possible stored value means to the modality: float64 of the same shape."""
    scaled: NDArray[np.float64]
    if isinstance(display.modality, Table):
        scaled = display.modality.values(stored)
    else:
        scaled = (stored * display.modality.slope + display.modality.intercept).astype(np.float64)
    if not np.isfinite(scaled).all() or scaled.min() == scaled.max():
        raise ImageRejected(CORRUPT, "DICOM rescale that leaves nothing to see")
    return scaled


def _windowed(scaled: NDArray[np.float64], window: Window) -> NDArray[np.float64]:
    """Returns 0 (black) to 1 (white), and beyond: DICOM PS3.3, C.11.2.1.2 and C.11.2.1.3."""
    center, width = window.center, window.width
    if window.function == "SIGMOID":
        return np.asarray(1 / (1 + np.exp(np.clip(-4 * (scaled - center) / width, -700, 700))))
    if window.function == "LINEAR_EXACT":
        return np.asarray((scaled - center) / width + 0.5)
    return np.asarray((scaled - (center - 0.5)) / max(width - 1, 1e-6) + 0.5)
