"""Encoded images, whole and damaged ones."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from cxr_spark.imaging.decode import decode_grey
from cxr_spark.imaging.rejected import REASONS, ImageRejected

RNG = np.random.default_rng(7)


def radiograph(height=61, width=47, maximum=255):
    """A smooth picture with noise: all PNG filters are chosen for some row of it."""
    y, x = np.mgrid[0:height, 0:width]
    smooth = (np.sin(x / 9) + np.cos(y / 7) + 2) / 4
    noise = RNG.random((height, width)) * 0.2 * (y % 5 > 2)
    return np.clip((smooth + noise) * maximum / 1.2, 0, maximum)


GREY = radiograph().astype(np.uint8)


COLOUR = np.dstack([radiograph(), radiograph()[::-1], radiograph()[:, ::-1]]).astype(np.uint8)


def encoded(image, form="PNG", **options):
    buffer = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(buffer, form, **options)
    return buffer.getvalue()


def chunk(kind, content=b""):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width, height, depth, colour, rows, *, interlace=0, extra=b"", idat=None):
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
    data = zlib.compress(rows) if idat is None else idat
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + chunk(b"IDAT", data) + chunk(b"IEND")


def split_png(data):
    """Lists the (kind, content) chunks of a PNG file."""
    chunks, position = [], 8
    while position < len(data):
        (length,) = struct.unpack_from(">I", data, position)
        chunks.append((data[position + 4 : position + 8], data[position + 8 : position + 8 + length]))
        position += 12 + length
    return chunks


def rejected(data):
    with pytest.raises(ImageRejected) as caught:
        decode_grey(data)
    assert caught.value.reason in REASONS
    assert caught.value.exit_status == 3
    return caught.value
