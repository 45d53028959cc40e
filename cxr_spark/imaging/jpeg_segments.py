"""The segments of a JPEG or JPEG-LS file, from its first marker to its last, without decoding anything.

Formats: ITU-T T.81 (JPEG), annex B, and ITU-T T.87 (JPEG-LS), annex C. The time is bounded whatever the bytes are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from cxr_spark.imaging.rejected import CORRUPT, TRUNCATED, ImageRejected

SIGNATURE = b"\xff\xd8\xff"

# Marker codes: ITU-T T.81, table B.1; the frame of JPEG-LS: T.87, table C.1.
START_OF_SCAN, END_OF_IMAGE, HUFFMAN_TABLES, RESTART_INTERVAL, APP1 = 0xDA, 0xD9, 0xC4, 0xDD, 0xE1
JPEG_LS_FRAME = 0xF7
FRAMES = (frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}) | {JPEG_LS_FRAME}

#: Two bytes that end the compressed data. In JPEG a byte FF of the data is followed by 00; restart markers (D0 to D7)
#: belong to the data. In JPEG-LS a byte FF of the data is followed by a byte below 80.
_MARKER_IN_SCAN = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]", re.DOTALL)
_MARKER_IN_JPEG_LS_SCAN = re.compile(rb"\xff[\x80-\xcf\xd8-\xfe]", re.DOTALL)
_FILL = re.compile(rb"\xff+")
#: A progressive file has about ten scans. Each is a pass over the whole image, so a file of thousands is an attack.
_MAX_SCANS = 200
#: A file of 256 MB in full segments has 4,096 of them, and cameras write a few dozen.
_MAX_SEGMENTS = 10_000


class Segment(NamedTuple):
    """One segment.

    Attributes:
        code: second byte of its marker.
        start: position of its content, behind marker and length.
        end: position behind its content; in a scan the compressed data follow here.
    """

    code: int
    start: int
    end: int


class Frame(NamedTuple):
    """The frame header: how large the image is and how it is compressed.

    Attributes:
        process: second byte of the frame's marker: C0 baseline, C1 extended, C2 progressive, C3 lossless, F7 JPEG-LS.
        precision: bits of a sample.
        width: pixels of a row.
        height: number of rows.
        components: number of channels.
    """

    process: int
    precision: int
    width: int
    height: int
    components: int


def segments(data: bytes | memoryview) -> Iterator[Segment]:
    """Walks over the segments behind the start marker; the last one is the end marker, and what follows is ignored.

    Args:
        data: the file, which begins with the start marker.

    Raises:
        ImageRejected: the file ends before its end marker, its segments do not fit together, or there are more scans or
            segments than any image has.
    """
    position, scans = 2, 0
    pattern = _MARKER_IN_SCAN
    for _ in range(_MAX_SEGMENTS):
        code, position = _next_marker(data, position)
        if code == END_OF_IMAGE:
            yield Segment(code, position, position)
            return
        end = position + _length(data, position)
        yield Segment(code, position + 2, end)
        if code == JPEG_LS_FRAME:
            pattern = _MARKER_IN_JPEG_LS_SCAN
        if code == START_OF_SCAN:
            scans += 1
            if scans > _MAX_SCANS:
                raise ImageRejected(CORRUPT, f"JPEG of more than {_MAX_SCANS} scans")
            found = pattern.search(data, end)
            if found is None:
                raise ImageRejected(TRUNCATED, f"JPEG ends at byte {len(data)} without an end marker")
            end = found.start()
        position = end
    raise ImageRejected(CORRUPT, f"JPEG of more than {_MAX_SEGMENTS} segments")


def read_frame(data: bytes | memoryview, segment: Segment) -> Frame:
    """Reads a frame header.

    Raises:
        ImageRejected: it is too short.
    """
    content = data[segment.start : segment.end]
    if len(content) < 6:
        raise ImageRejected(CORRUPT, f"JPEG frame header of {len(content)} bytes")
    height, width = int.from_bytes(content[1:3], "big"), int.from_bytes(content[3:5], "big")
    return Frame(segment.code, content[0], width, height, content[5])


def end_of_scan(data: bytes | memoryview, segment: Segment) -> int:
    """Returns the position behind the compressed data of a JPEG scan, which a marker follows."""
    found = _MARKER_IN_SCAN.search(data, segment.end)
    return len(data) if found is None else found.start()


def _next_marker(data: bytes | memoryview, position: int) -> tuple[int, int]:
    """Returns the code of the marker at a position, which may be led by fill bytes, and the position after it."""
    fill = _FILL.match(data, position)
    after = fill.end() if fill else position
    if after >= len(data):
        raise ImageRejected(TRUNCATED, f"JPEG ends at byte {len(data)} without an end marker")
    if fill is None:
        raise ImageRejected(CORRUPT, f"JPEG has no marker at byte {position}")
    return data[after], after + 1


def _length(data: bytes | memoryview, position: int) -> int:
    length = int.from_bytes(data[position : position + 2], "big")
    if position + max(length, 2) > len(data):
        raise ImageRejected(TRUNCATED, f"JPEG ends at byte {len(data)} inside a segment")
    if length < 2:
        raise ImageRejected(CORRUPT, f"JPEG segment of length {length} at byte {position}")
    return length
