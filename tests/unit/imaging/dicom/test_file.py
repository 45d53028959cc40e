"""DICOM files as such: without preamble, with foreign UIDs in them, and read by several threads at a time."""

from __future__ import annotations

import io
import logging
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pydicom
import pytest

from cxr_spark.imaging.decode import decode_grey
from cxr_spark.imaging.dicom.file import SNIFFED_BYTES, is_dicom, reading
from cxr_spark.imaging.rejected import ImageRejected
from tests.support.dicom_files import BIG, EXPLICIT, IMPLICIT, JPEG_2000, RLE, dicom_bytes

RNG = np.random.default_rng(5)
GREY = RNG.integers(0, 256, (24, 34), dtype=np.uint8)
WORDS = RNG.integers(0, 4096, (24, 34)).astype(np.uint16)
DEFLATED = "1.2.840.10008.1.2.1.99"


def without_meta(data: bytes) -> bytes:
    """The elements alone, as old archives and some senders leave them."""
    dataset = pydicom.dcmread(io.BytesIO(data))
    stream = io.BytesIO()
    implicit, little = dataset.original_encoding
    del dataset.file_meta
    dataset.preamble = None
    pydicom.dcmwrite(stream, dataset, implicit_vr=implicit, little_endian=little, enforce_file_format=False)
    return stream.getvalue()


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG])
@pytest.mark.parametrize("extra", [{}, {"PatientSex": "F"}, {"Modality": "DX"}, {"SOPClassUID": "1.2.3"}])
def test_elements_alone_are_read(syntax: str, extra: dict[str, str]) -> None:
    for values, bits in ((GREY, 8), (WORDS, 12)):
        whole = dicom_bytes(values, bits, syntax=syntax, **extra)
        bare = without_meta(whole)
        assert bare[128:132] != b"DICM"
        assert np.array_equal(decode_grey(bare), decode_grey(whole))


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG, RLE, JPEG_2000])
def test_files_without_preamble_are_read(syntax: str) -> None:
    whole = dicom_bytes(GREY, syntax=syntax)
    for start in (128, 132):  # the 128 bytes are missing, or the letters DICM as well
        assert np.array_equal(decode_grey(whole[start:]), GREY)
        assert is_dicom(memoryview(whole[start : start + SNIFFED_BYTES]))


@pytest.mark.parametrize(
    "data",
    [
        b"\0" * 600,
        b"\x08\x00" * 300,
        b"\x08\x00\x05\x00CS\n\x00",  # one element is too little to tell
        b"\x02\x00\x00\x00UL\x04\x00" + b"\x01\x00\x00\x00" * 99,
        bytes(range(256)) * 3,
        b"Image Index,Finding Labels\n" * 40,
    ],
)
def test_other_files_are_not_taken_for_dicom(data: bytes) -> None:
    assert not is_dicom(memoryview(data))


def test_noise_is_not_taken_for_dicom() -> None:
    assert not any(is_dicom(memoryview(RNG.bytes(600))) for _ in range(5000))


def test_a_file_that_merely_names_the_deflated_syntax_is_read() -> None:
    assert np.array_equal(decode_grey(dicom_bytes(GREY, StudyDescription=f"sent as {DEFLATED}")), GREY)


def test_a_deflated_file_is_refused_before_it_is_inflated() -> None:
    dataset = pydicom.dcmread(io.BytesIO(dicom_bytes(GREY)))
    dataset.file_meta.TransferSyntaxUID = DEFLATED
    stream = io.BytesIO()
    pydicom.dcmwrite(stream, dataset, enforce_file_format=True)
    with pytest.raises(ImageRejected, match="deflated DICOM file"):
        decode_grey(stream.getvalue())


def test_one_thread_does_not_let_another_speak_of_patients(caplog: pytest.LogCaptureFixture) -> None:
    """pydicom's logger and Python's warnings are of the process: who leaves first must not un-silence who is inside."""
    entered, left = threading.Event(), threading.Event()

    def second() -> None:
        with reading("header"):
            entered.set()
            left.wait(5)
            pydicom.config.logger.warning("Doe^Jane")
            warnings.warn("Doe^Jane", stacklevel=1)

    with caplog.at_level(logging.DEBUG), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with reading("header"):
            thread = threading.Thread(target=second)
            thread.start()
            entered.wait(0.3)
        left.set()
        thread.join()
    assert not caplog.records
    assert not caught


def test_many_threads_read_at_a_time() -> None:
    files = [dicom_bytes(GREY, PatientAge="058Y").replace(b"058Y", b"Jane")] * 100
    with ThreadPoolExecutor(8) as pool:
        assert all(np.array_equal(picture, GREY) for picture in pool.map(decode_grey, files))
