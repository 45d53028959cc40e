"""Small pictures of radiographs within a page."""

from __future__ import annotations

import base64

import cv2
import numpy as np
from numpy.typing import NDArray

from cxr_spark.imaging.resize import resize

_QUALITY = 75


def thumbnail(pixels: NDArray[np.uint8], side: int) -> str:
    """Returns an image as a `data:` address of a JPEG, which a page can show without another file.

    Args:
        pixels: uint8 (S, S), grey.
        side: the largest side of the picture in pixels; a smaller image stays as it is.
    """
    scaled = resize(pixels, min(side, pixels.shape[0]), "squash")
    _, encoded = cv2.imencode(".jpg", scaled, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return "data:image/jpeg;base64," + base64.b64encode(encoded.tobytes()).decode()
