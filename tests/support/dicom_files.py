"""Makes small DICOM files: pixels of any depth in any of the transfer syntaxes that radiographs come in."""

from __future__ import annotations

import io
from typing import Any

import imagecodecs
import pydicom
from numpy.typing import NDArray
from pydicom.config import disable_value_validation
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels.encoders import RLELosslessEncoder
from pydicom.uid import UID

EXPLICIT, IMPLICIT, BIG = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.2"
RLE = "1.2.840.10008.1.2.5"
JPEG, JPEG_12, JPEG_LOSSLESS = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.70"
JPEG_LS, JPEG_2000 = "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90"


def _rle(values: NDArray[Any], bits: int) -> bytes:
    return RLELosslessEncoder.encode(
        values,
        rows=values.shape[0],
        columns=values.shape[1],
        number_of_frames=1,
        samples_per_pixel=1 if values.ndim == 2 else 3,
        bits_allocated=values.dtype.itemsize * 8,
        bits_stored=values.dtype.itemsize * 8,
        pixel_representation=int(values.dtype.kind == "i"),
        photometric_interpretation="MONOCHROME2" if values.ndim == 2 else "RGB",
        planar_configuration=0,
    )


_COMPRESS = {
    RLE: _rle,
    JPEG: lambda values, bits: imagecodecs.jpeg8_encode(values, level=95),
    JPEG_12: lambda values, bits: imagecodecs.jpeg8_encode(values, level=98, bitspersample=12),
    JPEG_LOSSLESS: lambda values, bits: imagecodecs.ljpeg_encode(values, bitspersample=bits),
    JPEG_LS: lambda values, bits: imagecodecs.jpegls_encode(values),
    JPEG_2000: lambda values, bits: imagecodecs.jpeg2k_encode(values, level=0, reversible=True, codecformat="j2k"),
}


def dicom_bytes(values: NDArray[Any], bits: int = 0, syntax: str = EXPLICIT, **elements: Any) -> bytes:
    """Returns a DICOM file of stored values (H, W), or RGB (H, W, 3).

    Args:
        values: integers of 8 or 16 bits.
        bits: bits stored; by default all.
        syntax: UID of the transfer syntax.
        elements: more elements by keyword, or other values of those that are set here.
    """
    allocated = values.dtype.itemsize * 8
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = UID(syntax)
    meta.MediaStorageSOPClassUID = UID("1.2.840.10008.5.1.4.1.1.7")
    meta.MediaStorageSOPInstanceUID = UID("1.2.3")
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.Rows, dataset.Columns = values.shape[:2]
    dataset.SamplesPerPixel = 1 if values.ndim == 2 else 3
    dataset.BitsAllocated, dataset.BitsStored = allocated, bits or allocated
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(values.dtype.kind == "i")
    dataset.PhotometricInterpretation = "MONOCHROME2" if values.ndim == 2 else "RGB"
    if values.ndim == 3:
        dataset.PlanarConfiguration = 0
    with disable_value_validation():  # files in the wild have ages such as 51
        for name, value in elements.items():
            setattr(dataset, name, value)
    if syntax in _COMPRESS:
        dataset.PixelData = encapsulate([_COMPRESS[syntax](values, dataset.BitsStored)])
        dataset["PixelData"].is_undefined_length = True
    else:
        stored = values.astype(values.dtype.newbyteorder(">" if syntax == BIG else "<")).tobytes()
        dataset.PixelData = stored + b"\0" * (len(stored) % 2)
    dataset["PixelData"].VR = "OW" if allocated == 16 else "OB"
    stream = io.BytesIO()
    pydicom.dcmwrite(
        stream, dataset, implicit_vr=syntax == IMPLICIT, little_endian=syntax != BIG, enforce_file_format=True
    )
    return stream.getvalue()
