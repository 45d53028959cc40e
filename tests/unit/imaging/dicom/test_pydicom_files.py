"""All files that pydicom brings along: the same picture as pydicom's, or a difference that is explained here."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pydicom.data
import pytest
from numpy.typing import NDArray
from pydicom.pixels import apply_modality_lut, pixel_array

from cxr_spark.imaging.decode import decode_grey
from cxr_spark.imaging.rejected import ImageRejected

ROOT = Path(pydicom.data.__file__).parent
FILES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in ROOT.rglob("*")
    if path.is_file() and path.suffix not in (".py", ".pyc", ".json", ".txt", ".md", ".zip")
)

ONE_FRAME, ONE_PICTURE = "several frames, and a radiograph has one", "no grey picture of 8 or 16 bits, nor colours of 8"
#: pydicom reads these and we do not.
REFUSED_HERE = {
    "SC_rgb_rle_16bit.dcm": ONE_PICTURE,
    "SC_rgb_rle_16bit_2frame.dcm": ONE_FRAME,
    "SC_rgb_rle_2frame.dcm": ONE_FRAME,
    "SC_rgb_rle_32bit.dcm": ONE_PICTURE,
    "SC_rgb_rle_32bit_2frame.dcm": ONE_FRAME,
    "SC_ybr_full_422_uncompressed.dcm": "colours subsampled without compression: only ultrasound devices write them",
    "examples_palette.dcm": "palette colours, which radiographs do not have",
    "examples_ybr_color.dcm": ONE_FRAME,
    "image_dfl.dcm": "deflated as a whole: pydicom would inflate it whatever its size",
    "liver_1frame.dcm": "a segmentation of 1 bit",
    "liver_expb_1frame.dcm": "a segmentation of 1 bit",
    "rtdose.dcm": ONE_FRAME,
    "rtdose_1frame.dcm": "a dose distribution of 32 bits",
    "rtdose_expb.dcm": ONE_FRAME,
    "rtdose_expb_1frame.dcm": "a dose distribution of 32 bits",
    "rtdose_rle.dcm": ONE_FRAME,
    "rtdose_rle_1frame.dcm": "a dose distribution of 32 bits",
}
#: We read these, and pydicom needs a plugin that is not installed here (pylibjpeg, GDCM, pyjpegls).
NO_PLUGIN = {
    "GDCMJ2K_TextGBR.dcm",
    "JPEG-lossy.dcm",
    "JPGExtended.dcm",
    "JPEGLSNearLossless_08.dcm",
    "JPEGLSNearLossless_16.dcm",
    "MR_small_jpeg_ls_lossless.dcm",
    "SC_rgb_jls_lossy_line.dcm",
    "SC_rgb_jls_lossy_sample.dcm",
    "SC_rgb_jpeg_gdcm.dcm",
}
#: Lossless versions of files in `NO_PLUGIN`.
SAME_PICTURE = {"MR_small_jpeg_ls_lossless.dcm": "MR_small.dcm", "SC_rgb_jpeg_gdcm.dcm": "SC_rgb_rle.dcm"}


def spread(values: Any, low: float, high: float) -> NDArray[np.float64]:
    return np.clip((np.asarray(values, float) - low) / (high - low), 0, 1)


def grey_by_pydicom(dataset: pydicom.Dataset, values: NDArray[Any]) -> NDArray[np.float64]:
    """Grey 0 to 255 from pydicom's pixels, by the formulas of DICOM PS3.3, C.11.2."""
    if values.ndim == 3:
        return values @ np.array([0.299, 0.587, 0.114])
    scaled = np.asarray(apply_modality_lut(values, dataset), float)
    center, width = dataset.get("WindowCenter"), dataset.get("WindowWidth")
    if center is not None and width is not None:
        center = float(center if isinstance(center, (int, float)) else center[0])
        width = float(width if isinstance(width, (int, float)) else width[0])
        shown = spread(scaled, center - 0.5 - (width - 1) / 2, center - 0.5 + (width - 1) / 2)
    elif dataset.BitsStored > 8:
        inside = values != dataset.get("PixelPaddingValue")
        shown = spread(scaled, scaled[inside].min(), scaled[inside].max())
    else:
        shown = scaled / (2**dataset.BitsStored - 1)
    shown = 1 - shown if dataset.PhotometricInterpretation == "MONOCHROME1" else shown
    return 255 * np.where(values == dataset.get("PixelPaddingValue"), 0, shown)


def by_pydicom(name: str) -> NDArray[np.float64] | None:
    """The picture that pydicom makes of a file; None where it makes none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.CRITICAL)
        try:
            dataset = pydicom.dcmread(ROOT / name, force=True)
            values = pixel_array(dataset)
            return grey_by_pydicom(dataset, values) if "NumberOfFrames" not in dataset or values.ndim < 4 else values
        except Exception:
            return None
        finally:
            logging.disable(logging.NOTSET)


def by_us(name: str) -> NDArray[np.uint8] | ImageRejected:
    try:
        return decode_grey((ROOT / name).read_bytes())
    except ImageRejected as error:
        return error


@pytest.mark.parametrize("name", FILES)
def test_every_difference_is_explained(name: str) -> None:
    ours, theirs, base = by_us(name), by_pydicom(name), Path(name).name
    if isinstance(ours, ImageRejected):
        assert theirs is None or base in REFUSED_HERE
        return
    assert base not in REFUSED_HERE
    if theirs is None:
        assert base in NO_PLUGIN
        return
    # One step of grey by rounding; of lossy colours two more, by the way through YCbCr.
    assert np.abs(ours.astype(float) - theirs).max() <= (3 if "rgb" in base.lower() or "jpeg" in base.lower() else 0.51)


@pytest.mark.parametrize("name", sorted(SAME_PICTURE))
def test_files_that_pydicom_needs_a_plugin_for_have_the_picture_of_their_twins(name: str) -> None:
    ours, twin = by_us(f"test_files/{name}"), by_us(f"test_files/{SAME_PICTURE[name]}")
    assert isinstance(ours, np.ndarray)
    assert np.array_equal(ours, twin)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("test-SR.dcm", "Structured Report"),
        ("reportsi.dcm", "Structured Report"),
        ("rtplan.dcm", "RT Plan"),
        ("rtstruct.dcm", "RT Structure Set"),  # has no preamble
        ("ExplVR_BigEndNoMeta.dcm", "RT Ion Plan"),  # nor this one
        ("waveform_ecg.dcm", "12-lead ECG Waveform"),
        ("dicomdirtests/DICOMDIR", "DICOMDIR"),
    ],
)
def test_objects_without_pixels_are_named(name: str, kind: str) -> None:
    error = by_us(f"test_files/{name}")
    assert isinstance(error, ImageRejected)
    assert (error.reason, error.detail) == ("unsupported_format", f"DICOM file that holds no pixels ({kind})")


def test_all_files_are_compared() -> None:
    assert len(FILES) > 150
