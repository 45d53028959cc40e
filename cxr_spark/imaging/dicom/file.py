"""Recognises DICOM files by their first bytes, and parses them with pydicom without any log line or warning.

Needs the extra `dicom`. Formats: DICOM PS3.5 (data elements) and PS3.10 (files).
"""

from __future__ import annotations

import importlib.util
import struct
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import TYPE_CHECKING, Any

from cxr_spark.imaging.rejected import CORRUPT, UNSUPPORTED_FORMAT, ImageRejected

if TYPE_CHECKING:
    from pydicom import Dataset

_PREAMBLE_BYTES, _SIGNATURE = 128, b"DICM"
#: The number of first bytes by which a DICOM file is recognised: preamble, signature and some elements.
SNIFFED_BYTES = 512
#: The one transfer syntax whose header is compressed, too. pydicom would inflate it whatever its size.
_DEFLATED = b"1.2.840.10008.1.2.1.99"

#: Groups of the elements with which a file without preamble begins: file, identification, patient, acquisition, image.
_FIRST_GROUPS = frozenset({0x0002, 0x0008, 0x0010, 0x0018, 0x0020, 0x0028})
_VRS = frozenset(
    b"AE AS AT CS DA DS DT FL FD IS LO LT OB OD OF OL OV OW PN SH SL SQ SS ST SV TM UC UI UL UN UR US UT UV".split()
)
_LONG_VRS = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())  # a length of 4 bytes, behind 2 unused ones
_UNDEFINED_LENGTH = 0xFFFFFFFF
#: This many valid elements in a row do not occur by chance in another kind of file.
_TRIED_ELEMENTS = 3

#: pydicom's settings, its logger and Python's warning filters belong to the whole process, so that only one thread at a
#: time may change them.
_ONE_AT_A_TIME = threading.RLock()


def is_dicom(data: memoryview) -> bool:
    """Returns whether the bytes are a DICOM file or the beginning of one; `SNIFFED_BYTES` are enough.

    Some files lack the 128 bytes of PS3.10 in front of the signature, or the signature as well. They are recognised by
    their first elements.
    """
    start = bytes(data[:SNIFFED_BYTES])
    if start[_PREAMBLE_BYTES : _PREAMBLE_BYTES + 4] == _SIGNATURE or start.startswith(_SIGNATURE):
        return True
    return any(_has_elements(start, order, explicit) for order, explicit in (("<", True), ("<", False), (">", True)))


def is_available() -> bool:
    """Returns whether the extra `dicom` is installed here."""
    return all(importlib.util.find_spec(name) for name in ("pydicom", "imagecodecs"))


def read_dataset(
    data: bytes | memoryview,
    *,
    stop_when: Callable[[Any, str | None, int], bool] | None = None,
    tags: list[int] | None = None,
) -> Dataset:
    """Parses a DICOM file leniently. pydicom's warnings are suppressed, because they may name a patient.

    Args:
        data: the file or its beginning.
        stop_when: given an element's tag, VR and length; parsing ends before the first element for which it is true.
        tags: the elements to keep; None for all.

    Raises:
        ImageRejected: it is damaged, deflated, or the extra `dicom` is not installed.
    """
    if not is_available():
        raise ImageRejected(UNSUPPORTED_FORMAT, "DICOM file, and here is no pydicom: pip install 'cxr-spark[dicom]'")
    from pydicom.filereader import read_partial

    content = bytes(data)
    if content.startswith(_SIGNATURE):
        content = bytes(_PREAMBLE_BYTES) + content
    if _transfer_syntax(content) == _DEFLATED:
        raise ImageRejected(UNSUPPORTED_FORMAT, "deflated DICOM file")
    with reading("header"):
        return read_partial(BytesIO(content), stop_when=stop_when, force=True, specific_tags=tags)


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Turns whatever pydicom and the decoders raise for a damaged file into a rejection, and silences pydicom.

    The messages, warnings and log lines of pydicom quote values, and values may be those of a patient. Every call of
    pydicom and every access to a value of its datasets happens within this context. Only one thread at a time is in it,
    because what it changes belongs to the whole process.
    """
    import pydicom.config

    with _ONE_AT_A_TIME:
        was_disabled, pydicom.config.logger.disabled = pydicom.config.logger.disabled, True
        try:
            with warnings.catch_warnings(), pydicom.config.disable_value_validation(), rejecting(what):
                warnings.simplefilter("ignore")
                yield
        finally:
            pydicom.config.logger.disabled = was_disabled


@contextmanager
def rejecting(what: str) -> Iterator[None]:
    """Turns whatever a decoder raises for damaged bytes into a rejection. Several threads may be in it at a time."""
    try:
        yield
    except ImageRejected:
        raise
    except Exception as error:  # no list of what a parser raises on damaged bytes can be complete
        raise ImageRejected(CORRUPT, f"DICOM {what} cannot be read ({type(error).__name__})") from error


def _element(data: bytes, position: int, order: str, explicit: bool) -> tuple[int, bytes, int, int]:
    """Reads the head of a data element (PS3.5, 7.1).

    Returns:
        Tag, VR (empty where it is implicit), position of the value, and its length.

    Raises:
        struct.error: the data end before.
    """
    group, element = struct.unpack_from(f"{order}HH", data, position)
    tag = group << 16 | element
    if not explicit:
        return tag, b"", position + 8, struct.unpack_from(f"{order}I", data, position + 4)[0]
    (vr,) = struct.unpack_from("2s", data, position + 4)
    if vr in _LONG_VRS:
        return tag, vr, position + 12, struct.unpack_from(f"{order}I", data, position + 8)[0]
    return tag, vr, position + 8, struct.unpack_from(f"{order}H", data, position + 6)[0]


def _has_elements(data: bytes, order: str, explicit: bool) -> bool:
    """Returns whether the data begin with elements in rising order, each with a possible VR and length."""
    position, last = 0, -1
    for _ in range(_TRIED_ELEMENTS):
        try:
            tag, vr, value, length = _element(data, position, order, explicit)
        except struct.error:
            return False
        if tag <= last or tag >> 16 not in _FIRST_GROUPS or (explicit and vr not in _VRS):
            return False
        if length == _UNDEFINED_LENGTH or value + length > len(data):  # a sequence, or more than was read
            return last >= 0
        if length % 2:
            return False
        position, last = value + length, tag
    return True


def _transfer_syntax(data: bytes) -> bytes:
    """Returns the transfer syntax that the file's own header (group 0002, always explicit) names; empty if none."""
    start = _PREAMBLE_BYTES + 4
    position = start if data[_PREAMBLE_BYTES:start] == _SIGNATURE else 0
    while True:
        try:
            tag, _, value, length = _element(data, position, "<", True)
        except struct.error:
            return b""
        if tag >> 16 != 0x0002:
            return b""
        if tag == 0x00020010:
            return data[value : value + length].rstrip(b"\0 ")
        position = value + length
