"""The header of a DICOM file, and what it must say for the pixels to be read. Needs the extra `dicom`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cxr_spark.imaging.dicom.file import read_dataset, reading
from cxr_spark.imaging.rejected import CORRUPT, TRUNCATED, UNSUPPORTED_FORMAT, ImageRejected

if TYPE_CHECKING:
    from pydicom import Dataset

GREY = ("MONOCHROME1", "MONOCHROME2")
#: Colours that decoders return as RGB, or whose luma is the first channel.
COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")

_IMPLICIT, _EXPLICIT, _BIG_ENDIAN = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"
#: DICOM objects that hold no pixels: words in the name of the SOP class (PS3.4, table B.5-1), and the usual name.
_WITHOUT_PIXELS = {
    "SR Storage": "Structured Report",
    "Key Object Selection": "Structured Report",
    "Presentation State": "Presentation State",
    "Media Storage Directory": "DICOMDIR",
}
#: The same by their modality.
WITHOUT_PIXELS_BY_MODALITY = {"SR": "Structured Report", "KO": "Structured Report", "PR": "Presentation State"}


@dataclass(frozen=True)
class DicomHeader:
    """What must be known before the pixels are decoded. The attributes are named as in DICOM PS3.3, C.7.6.3.

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
        swapped_bytes: 8-bit pixels were written as 16-bit words, highest byte first: bytes 2 by 2 change places.
        dataset: everything else, pixels included; to be looked at within `file.reading`.
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
    swapped_bytes: bool
    dataset: Dataset

    @property
    def decoded_bytes(self) -> int:
        """Bytes of the decoded pixels."""
        return self.width * self.height * self.samples * self.bits_allocated // 8


def read_header(data: memoryview) -> DicomHeader:
    """Reads the header of a DICOM file.

    Args:
        data: the file.

    Raises:
        ImageRejected: it is damaged, holds no pixels, or they are of a kind that is not read.
    """
    dataset = read_dataset(data)
    with reading("header"):
        if "Rows" not in dataset and "PixelData" not in dataset:
            _refuse_other_objects(dataset)
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
            transfer_syntax=_transfer_syntax(dataset),
            swapped_bytes=_has_swapped_bytes(dataset),
            dataset=dataset,
        )
        frames = int(dataset.get("NumberOfFrames") or 1)
        has_pixels = bool(dataset.get("PixelData"))
    _check(header, frames)
    if not has_pixels:
        raise ImageRejected(TRUNCATED, "DICOM file ends before its pixels")
    return header


def _refuse_other_objects(dataset: Dataset) -> None:
    """Rejects an object that is not an image, and names it.

    An object that declares itself an image but lacks the elements of one is damaged; it is rejected later.
    """
    uid = dataset.get("SOPClassUID") or dataset.file_meta.get("MediaStorageSOPClassUID")
    name = str(getattr(uid, "name", ""))
    modality = str(dataset.get("Modality", ""))
    known = next(
        (kind for words, kind in _WITHOUT_PIXELS.items() if words in name), WITHOUT_PIXELS_BY_MODALITY.get(modality)
    )
    if known is None and name.endswith("Storage") and "Image" not in name:
        known = name.removesuffix(" Storage")
    if known is not None:
        raise ImageRejected(UNSUPPORTED_FORMAT, f"DICOM file that holds no pixels ({known})")


def _transfer_syntax(dataset: Dataset) -> str:
    """Returns the transfer syntax; where the file does not name it, that in which its elements could be read."""
    named = dataset.file_meta.get("TransferSyntaxUID")
    if named:
        return str(named)
    implicit, little_endian = dataset.original_encoding
    return _IMPLICIT if implicit else _EXPLICIT if little_endian else _BIG_ENDIAN


def _has_swapped_bytes(dataset: Dataset) -> bool:
    """Returns whether 8-bit pixels are stored in 16-bit words with the highest byte first (PS3.5, A.3 and 8.1.2)."""
    if _transfer_syntax(dataset) != _BIG_ENDIAN or "PixelData" not in dataset:
        return False
    return bool(dataset.get("BitsAllocated") == 8 and dataset["PixelData"].VR == "OW")


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
