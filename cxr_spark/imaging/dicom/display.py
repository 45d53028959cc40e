"""What a DICOM file says about showing its stored values: rescale, tables, window, padding. Needs the extra `dicom`.

Elements: DICOM PS3.3, C.11.1 (modality), C.11.2 (VOI), C.7.5.1.1.2 (pixel padding).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cxr_spark.imaging.dicom.file import reading
from cxr_spark.imaging.dicom.header import DicomHeader
from cxr_spark.imaging.rejected import CORRUPT, UNSUPPORTED_FORMAT, ImageRejected

if TYPE_CHECKING:
    from pydicom import Dataset

_FUNCTIONS = ("LINEAR", "LINEAR_EXACT", "SIGMOID")


@dataclass(frozen=True)
class Rescale:
    """A straight line: value * slope + intercept."""

    slope: float
    intercept: float


@dataclass(frozen=True)
class Table:
    """A lookup table.

    Attributes:
        first: the value that the first entry is for; lower values get it, too, and higher ones than the last the last.
        entries: the results, int64 (N,).
    """

    first: int
    entries: NDArray[np.int64]

    def values(self, given: NDArray[Any]) -> NDArray[np.float64]:
        """Looks values up: float64 of the same shape."""
        # Cut towards zero, as pydicom does, where a rescale left fractions.
        last = self.first + self.entries.size - 1
        positions: NDArray[np.int64] = np.clip(np.trunc(given), self.first, last).astype(np.int64) - self.first
        return self.entries[positions].astype(np.float64)

    def shares(self, given: NDArray[Any]) -> NDArray[np.float64]:
        """Looks values up as shares of the highest that the entries' bits can hold: 0 to 1.

        The bits are those in use, not those declared: tables that declare 16 bits and hold 12 are frequent, and by what
        they declare the picture would be all but black.
        """
        bits = int(self.entries.max()).bit_length()
        return np.asarray(self.values(given) / max(2**bits - 1, 1))


@dataclass(frozen=True)
class Window:
    """A window: its center and width in units of the modality, and one of DICOM's VOI LUT functions."""

    center: float
    width: float
    function: str


@dataclass(frozen=True)
class Display:
    """How stored values are shown.

    Attributes:
        modality: stored values to the modality's.
        table: the modality's values to shown ones, or None.
        window: the same by a window, where there is no table; None where the file has neither.
        padding: lowest and highest stored value that stand for no picture, or None.
    """

    modality: Rescale | Table
    table: Table | None
    window: Window | None
    padding: tuple[int, int] | None

    def is_padding(self, stored: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Says of stored values whether they are padding: bool of the same shape."""
        if self.padding is None:
            return np.zeros(stored.shape, dtype=np.bool_)
        return np.asarray((stored >= self.padding[0]) & (stored <= self.padding[1]))


def read_display(header: DicomHeader) -> Display:
    """Reads how the values of a grey image are to be shown.

    Raises:
        ImageRejected: a table is damaged, the rescale is by no finite number, or a window's function is not known.
    """
    dataset = header.dataset
    with reading("display elements"):
        table = _table(dataset, "VOILUTSequence")
        return Display(
            modality=_table(dataset, "ModalityLUTSequence") or _rescale(dataset),
            table=table,
            window=None if table else _window(dataset),
            padding=_padding(header),
        )


def _rescale(dataset: Dataset) -> Rescale:
    slope, intercept = _number(dataset, "RescaleSlope", 1.0), _number(dataset, "RescaleIntercept", 0.0)
    if not (np.isfinite(slope) and np.isfinite(intercept)):
        raise ImageRejected(
            CORRUPT,
            f"DICOM rescale by a number that is not finite (slope {slope}, intercept {intercept})",
        )
    return Rescale(slope, intercept)


def _window(dataset: Dataset) -> Window | None:
    """Returns the first window; one without width says nothing."""
    nan = float("nan")
    center, width = _number(dataset, "WindowCenter", nan), _number(dataset, "WindowWidth", nan)
    if not (np.isfinite(center) and np.isfinite(width)) or width <= 0:
        return None
    function = str(dataset.get("VOILUTFunction") or "LINEAR")
    if function not in _FUNCTIONS:
        raise ImageRejected(UNSUPPORTED_FORMAT, f"DICOM window of an unknown function, expected one of {_FUNCTIONS}")
    return Window(center, width, function)


def _table(dataset: Dataset, name: str) -> Table | None:
    sequence = dataset.get(name)
    if not sequence:
        return None
    count, first, bits = (int(number) for number in sequence[0].LUTDescriptor)
    count = count or 2**16  # PS3.3, C.11.1.1: 0 stands for 65,536, which a 16-bit number cannot say
    data = sequence[0].LUTData
    if isinstance(data, bytes):
        order = ">" if dataset.original_encoding[1] is False else "<"
        # 8-bit entries are stored 2 to a word, or each in a word of its own.
        kind = "u1" if bits <= 8 and len(data) < 2 * count else f"{order}u2"
        entries = np.frombuffer(data, kind, count=min(count, len(data) // np.dtype(kind).itemsize))
    else:
        entries = np.asarray(data if isinstance(data, Iterable) else [data])[:count]
    if entries.size < count:
        raise ImageRejected(CORRUPT, f"DICOM lookup table of {entries.size} entries, {count} are declared")
    entries = entries.astype(np.int64)
    if entries.min() < 0 or entries.max() > 65535:
        raise ImageRejected(CORRUPT, "DICOM lookup table with entries outside 0 to 65535")
    return Table(first, entries)


def _padding(header: DicomHeader) -> tuple[int, int] | None:
    value = header.dataset.get("PixelPaddingValue")
    if not isinstance(value, int):
        return None
    limit = header.dataset.get("PixelPaddingRangeLimit")
    ends = [_as_stored(number, header) for number in (value, limit) if isinstance(number, int)]
    return min(ends), max(ends)


def _as_stored(number: int, header: DicomHeader) -> int:
    """Reads a number as the stored values are read: files give -2000 also as 63536, and 65535 for 12 bits."""
    bits: int = number & ((1 << header.bits_stored) - 1)
    return bits - (1 << header.bits_stored) if header.signed and bits >> (header.bits_stored - 1) else bits


def _number(dataset: Dataset, name: str, default: float) -> float:
    """Returns the first number of an element, and the default where the element is missing or empty."""
    value = dataset.get(name)
    if isinstance(value, Iterable) and not isinstance(value, str):
        value = next(iter(value), None)
    return default if value is None or value == "" else float(value)
