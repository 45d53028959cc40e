"""The header of a DICOM file, and what it must say for the pixels to be read. Needs the extra `dicom`."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any

from cxr_spark.imaging.rejected import CORRUPT, TRUNCATED, UNSUPPORTED_FORMAT, ImageRejected

if TYPE_CHECKING:
    from pydicom import Dataset

_SIGNATURE_AT, _SIGNATURE = 128, b"DICM"
#: The one transfer syntax whose header is compressed, too. pydicom would inflate it whatever its size.
_DEFLATED = b"1.2.840.10008.1.2.1.99"

GREY = ("MONOCHROME1", "MONOCHROME2")
#: What decoders give as RGB, or has its luma in the first channel.
COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")


@dataclass(frozen=True)
class DicomHeader:
    """What must be known before the pixels are decoded. Attribute names as in DICOM PS3.3, C.7.6.3.

    Attributes:
        width: columns.
        height: rows.
        samples: channels, 1 or 3.
        bits_allocated: bits of a stored value with its padding, 8 or 16.
        bits_stored: bits of a stored value.
        high_bit: position of its highest bit.
        signed: values are two's complement.
        planar: uncompressed channels lie one after the other.
        photometric: one of `GREY` or `COLOUR`.
        transfer_syntax: UID of the encoding.
        dataset: everything else, pixels included.
    """

    width: int
    height: int
    samples: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    planar: bool
    photometric: str
    transfer_syntax: str
    dataset: Dataset

    @property
    def decoded_bytes(self) -> int:
        """Bytes of the decoded pixels."""
        return self.width * self.height * self.samples * self.bits_allocated // 8


def is_dicom(data: memoryview) -> bool:
    """Whether a file is DICOM."""
    return bytes(data[_SIGNATURE_AT : _SIGNATURE_AT + len(_SIGNATURE)]) == _SIGNATURE


def is_available() -> bool:
    """Whether the extra `dicom` is installed here."""
    return all(importlib.util.find_spec(name) for name in ("pydicom", "imagecodecs"))


def read_dataset(data: bytes | memoryview, **options: Any) -> Dataset:
    """Parses a DICOM file, leniently and without a word: what pydicom would warn of may name a patient.

    Args:
        data: the file or its beginning.
        options: of `pydicom.dcmread`.

    Raises:
        ImageRejected: it is damaged, deflated, or the extra `dicom` is not installed.
    """
    if not is_available():
        raise ImageRejected(UNSUPPORTED_FORMAT, "DICOM file, and here is no pydicom: pip install 'cxr-spark[dicom]'")
    import pydicom

    content = bytes(data)
    if _DEFLATED in content:
        raise ImageRejected(UNSUPPORTED_FORMAT, "deflated DICOM file")
    with reading("header"):
        return pydicom.dcmread(BytesIO(content), **options)


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Turns whatever pydicom and the decoders raise for a damaged file into a rejection, and silences them.

    Their messages, warnings and log lines quote values, and values may be a patient's.
    """
    import pydicom.config

    was_disabled, pydicom.config.logger.disabled = pydicom.config.logger.disabled, True
    try:
        with warnings.catch_warnings(), pydicom.config.disable_value_validation():
            warnings.simplefilter("ignore")
            yield
    except ImageRejected:
        raise
    except Exception as error:  # no list of what a parser raises on damaged bytes can be complete
        raise ImageRejected(CORRUPT, f"DICOM {what} cannot be read ({type(error).__name__})") from error
    finally:
        pydicom.config.logger.disabled = was_disabled


def read_header(data: memoryview) -> DicomHeader:
    """Reads the header of a DICOM file.

    Args:
        data: the file.

    Raises:
        ImageRejected: it is damaged, holds no pixels, or they are of a kind that is not read.
    """
    dataset = read_dataset(data)
    with reading("header"):
        header = DicomHeader(
            width=_integer(dataset, "Columns"),
            height=_integer(dataset, "Rows"),
            samples=_integer(dataset, "SamplesPerPixel", 1),
            bits_allocated=_integer(dataset, "BitsAllocated"),
            bits_stored=_integer(dataset, "BitsStored"),
            high_bit=_integer(dataset, "HighBit", _integer(dataset, "BitsStored") - 1),
            signed=bool(_integer(dataset, "PixelRepresentation", 0)),
            planar=bool(_integer(dataset, "PlanarConfiguration", 0)),
            photometric=str(dataset.get("PhotometricInterpretation", "MONOCHROME2")),
            transfer_syntax=str(dataset.file_meta.get("TransferSyntaxUID", "1.2.840.10008.1.2")),
            dataset=dataset,
        )
        frames = int(dataset.get("NumberOfFrames") or 1)
        has_pixels = bool(dataset.get("PixelData"))
    _check(header, frames)
    if not has_pixels:
        raise ImageRejected(TRUNCATED, "DICOM file ends before its pixels")
    return header


def _integer(dataset: Dataset, name: str, default: int | None = None) -> int:
    value = dataset.get(name)
    if value is None:
        value = default
    if not isinstance(value, int):
        raise ImageRejected(CORRUPT, f"DICOM file without a usable {name}")
    return int(value)


def _check(header: DicomHeader, frames: int) -> None:
    if frames != 1:
        raise ImageRejected(UNSUPPORTED_FORMAT, f"DICOM file of {frames} frames, expected one")
    if header.width < 1 or header.height < 1:
        raise ImageRejected(CORRUPT, f"DICOM image of {header.width} x {header.height} pixels")
    kind = f"{header.photometric[:20]} with {header.samples} samples of {header.bits_allocated} bits"
    grey = header.photometric in GREY and header.samples == 1 and header.bits_allocated in (8, 16)
    colour = header.photometric in COLOUR and header.samples == 3 and header.bits_allocated == 8
    if not (grey or colour):
        raise ImageRejected(UNSUPPORTED_FORMAT, f"DICOM image of {kind}: expected grey of 8 or 16 bits, or colour of 8")
    if not 1 <= header.bits_stored <= header.high_bit + 1 <= header.bits_allocated:
        raise ImageRejected(CORRUPT, f"DICOM image of {kind} with {header.bits_stored} stored to bit {header.high_bit}")
