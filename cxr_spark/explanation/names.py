"""Names pictures. The name of an image can be any text, that of its picture is a plain file name."""

from __future__ import annotations

import hashlib
import re

_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,150}\.png")
_OTHER = re.compile(r"[^A-Za-z0-9.-]+")


def file_name(image_index: str) -> str:
    """Returns the file name of an image's picture: without folders, not hidden, and different for every image.

    An image_index can be a path, as in CheXpert and in class folders, or any other text of a label file. A plain name
    of a PNG file stays as it is. In any other name all other characters become `_`, and a part of the SHA-256 of the
    whole name keeps it distinct.

    >>> file_name("00000001_000.png")
    '00000001_000.png'
    >>> file_name("patient1/view1.jpg")
    'patient1_view1.jpg~1b684f0256a6bac9.png'
    """
    if _PLAIN.fullmatch(image_index):
        return image_index
    plain = _OTHER.sub("_", image_index).strip("._-")[-100:] or "image"
    digest = hashlib.sha256(image_index.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{plain}~{digest[:16]}.png"
