"""File names for images that may be called anything."""

from __future__ import annotations

import hashlib
import re

_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,150}\.png")
_OTHER = re.compile(r"[^A-Za-z0-9.-]+")


def file_name(image_index: str) -> str:
    """Returns the name of an image's picture: one part of a path, visible to all tools, and its own.

    An image_index can be a path (CheXpert's and a class folder's are) or anything else that stands in a label file. A
    plain name of a PNG file is kept; of another, what is plain in it, and a part of its SHA-256 that keeps it distinct.
    """
    if _PLAIN.fullmatch(image_index):
        return image_index
    plain = _OTHER.sub("_", image_index).strip("._-")[-100:] or "image"
    digest = hashlib.sha256(image_index.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{plain}~{digest[:16]}.png"
