"""Checks the compressed data of sequential and lossless JPEGs code by code, for decoders that pass over damage.

Every Huffman code is followed (ITU-T T.81, annexes F and H), nothing is reconstructed. What is found: codes that do not
exist, data that end before the image does, and data left over. Progressive files are not checked here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cxr_spark.imaging.compiled import compiled
from cxr_spark.imaging.jpeg_segments import (
    FRAMES,
    HUFFMAN_TABLES,
    RESTART_INTERVAL,
    START_OF_SCAN,
    end_of_scan,
    segments,
)
from cxr_spark.imaging.rejected import CORRUPT, ImageRejected

_SEQUENTIAL, _LOSSLESS = frozenset({0xC0, 0xC1}), 0xC3
CHECKED_PROCESSES = _SEQUENTIAL | {_LOSSLESS}
#: The results of `_follow`.
_SOUND, _BAD_CODE, _ENDS_EARLY, _LEFT_OVER = range(4)
_FAULTS = {
    _BAD_CODE: "a code that does not exist",
    _ENDS_EARLY: "data that end before the image does",
    _LEFT_OVER: "data that go on after the image",
}


class _Component(NamedTuple):
    across: int
    down: int


class _Frame(NamedTuple):
    lossless: bool
    width: int
    height: int
    components: dict[int, _Component]


def check_scans(data: bytes | memoryview) -> None:
    """Checks a JPEG file of one of the `CHECKED_PROCESSES`, whose segments are sound.

    Raises:
        ImageRejected: the compressed data are damaged.
    """
    content = np.frombuffer(data, np.uint8)
    tables: dict[int, NDArray[np.uint16]] = {}
    frame: _Frame | None = None
    restart = 0
    for segment in segments(data):
        body = bytes(data[segment.start : segment.end])
        if segment.code == HUFFMAN_TABLES:
            tables.update(_tables(body))
        elif segment.code == RESTART_INTERVAL:
            restart = int.from_bytes(body[:2], "big")
        elif segment.code in FRAMES:
            frame = _frame(segment.code, body)
        elif segment.code == START_OF_SCAN:
            if frame is None:
                raise ImageRejected(CORRUPT, "JPEG scan before the frame")
            order, repeats = _order(frame, body)
            pairs = np.array([[_known(tables, one), _known(tables, two)] for one, two in order], np.int64)
            ids = sorted(set(pairs.ravel().tolist()))
            stacked = np.stack([tables[i] for i in ids])
            end = end_of_scan(data, segment)
            units = np.searchsorted(ids, pairs)
            fault = _follow(content, segment.end, end, units, stacked, repeats, restart, frame.lossless)
            if fault:
                raise ImageRejected(CORRUPT, f"damaged JPEG: {_FAULTS[fault]}")


def _frame(code: int, body: bytes) -> _Frame:
    height, width = int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big")
    parts = [body[i : i + 3] for i in range(6, 6 + 3 * body[5], 3)]
    components = {part[0]: _Component(part[1] >> 4, part[1] & 15) for part in parts if len(part) == 3}
    if not all(1 <= side <= 4 for component in components.values() for side in component):
        raise ImageRejected(CORRUPT, "JPEG with impossible sampling factors")
    return _Frame(code == _LOSSLESS, width, height, components)


def _tables(body: bytes) -> dict[int, NDArray[np.uint16]]:
    """Reads Huffman tables (T.81, B.2.4.2 and annex C): for any 16 bits the code that they begin with.

    Returns:
        By class and number, as one byte of the file has them: uint16 (65536,), length of the code * 256 + its symbol; 0
        where no code begins so.
    """
    found: dict[int, NDArray[np.uint16]] = {}
    while len(body) >= 17:
        counts, total = np.frombuffer(body, np.uint8, 16, 1).astype(np.int64), sum(body[1:17])
        symbols = np.frombuffer(body, np.uint8, min(total, len(body) - 17), 17).astype(np.int64)
        lengths = np.repeat(np.arange(1, 17), counts)
        spans = 1 << (16 - lengths)
        if len(symbols) < total or spans.sum() > 65536:
            raise ImageRejected(CORRUPT, "JPEG with an impossible Huffman table")
        table = np.zeros(65536, np.uint16)
        table[: spans.sum()] = np.repeat(lengths * 256 + symbols, spans)
        found[body[0]] = table
        body = body[17 + total :]
    return found


def _known(tables: dict[int, NDArray[np.uint16]], number: int) -> int:
    if number not in tables:
        raise ImageRejected(CORRUPT, "JPEG scan that uses a missing Huffman table")
    return number


def _order(frame: _Frame, body: bytes) -> tuple[Sequence[tuple[int, int]], int]:
    """Returns the tables (DC, AC) of each unit that a scan repeats, and how often it does: T.81, A.2."""
    count = body[0] if body else 0
    parts = [body[i : i + 2] for i in range(1, 1 + 2 * count, 2)]
    if not parts or any(len(part) < 2 or part[0] not in frame.components for part in parts):
        raise ImageRejected(CORRUPT, "JPEG scan of components that the frame has not")
    side = 1 if frame.lossless else 8
    most_across = max(component.across for component in frame.components.values())
    most_down = max(component.down for component in frame.components.values())
    chosen = [frame.components[part[0]] for part in parts]
    # Lossless scans have no AC table: the DC table stands in for it and is never asked.
    pairs = [(part[1] >> 4, part[1] >> 4 if frame.lossless else 0x10 | part[1] & 15) for part in parts]
    if count == 1:
        across = _up(_up(frame.width * chosen[0].across, most_across), side)
        down = _up(_up(frame.height * chosen[0].down, most_down), side)
        return pairs, across * down
    units = [pair for pair, one in zip(pairs, chosen, strict=True) for _ in range(one.across * one.down)]
    return units, _up(frame.width, side * most_across) * _up(frame.height, side * most_down)


def _up(number: int, divisor: int) -> int:
    return -(-number // divisor)


def _follow_codes(
    data: Any, position: int, end: int, units: Any, tables: Any, repeats: int, restart: int, lossless: bool
) -> int:
    held = 0  # bits read and not used, the last `count` of this number; `made_up` of them are behind the end
    count = 0
    made_up = 0
    for repeat in range(repeats):
        if restart and repeat and repeat % restart == 0:
            if count - made_up >= 8:
                return _LEFT_OVER
            while position < end and data[position] == 0xFF and data[position + 1] == 0xFF:
                position += 1
            if position >= end:
                return _ENDS_EARLY
            if data[position + 1] != 0xD0 + (repeat // restart - 1) % 8:
                return _BAD_CODE
            position += 2
            held = count = made_up = 0
        for unit in range(units.shape[0]):
            place = 0
            while place < (1 if lossless else 64):
                while count <= 40:
                    byte = 0
                    if position < end and data[position] != 0xFF:
                        byte = data[position]
                        position += 1
                    elif position < end and data[position + 1] == 0:
                        byte = 0xFF
                        position += 2
                    else:
                        made_up += 8
                    held = ((held << 8) | byte) & 0xFFFFFFFFFFFF
                    count += 8
                entry = tables[units[unit, 0 if place == 0 else 1], (held >> (count - 16)) & 0xFFFF]
                length = entry >> 8
                symbol = entry & 255
                if length == 0:
                    return _ENDS_EARLY if made_up else _BAD_CODE
                size = symbol if place == 0 else symbol & 15
                if size > 16:
                    return _BAD_CODE
                if place == 0:
                    place = 1
                    if size == 16:  # lossless only: the difference 32768, which needs no bits
                        size = 0
                elif size:
                    place += (symbol >> 4) + 1
                elif symbol >> 4 == 15:
                    place += 16
                else:
                    place = 64
                count -= length + size
                if count < made_up:
                    return _ENDS_EARLY
                if place > 64:
                    return _BAD_CODE
    while position < end and data[position] == 0xFF and data[position + 1] == 0xFF:
        position += 1
    return _LEFT_OVER if count - made_up >= 8 or position < end else _SOUND


_follow = compiled(_follow_codes)
