"""The largest networks and weight files that are read. What a file declares is checked before memory is taken."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from cxr_spark.config.model import HiddenWidths
from cxr_spark.errors import DataError
from cxr_spark.runtime.isolation import Limits

__all__ = ["MAX_FILE_BYTES", "MAX_OUTPUTS", "HiddenWidths", "Outputs", "array_limit", "check_sum", "reading_limits"]

#: Outputs of a network at the most; ImageNet's have 1,000.
MAX_OUTPUTS = 100_000
#: Bytes of a file of weights at the most, and of the float32 values in it. VGG-16, the largest network, has 553 MB.
MAX_FILE_BYTES = 2 << 30
#: Weights are noise, which hardly compresses: all arrays together take no more than so many times the file's size ...
_MAX_INFLATION = 20
#: ... but small files may always hold so many bytes, such as compressed zeros.
_SMALL_BYTES = 64 << 20
#: Memory and disk that a reader takes beyond a file and its arrays, bytes.
_SPARE = 256 << 20
Outputs = Annotated[int, Field(ge=0, le=MAX_OUTPUTS)]


def array_limit(file_bytes: int) -> int:
    """Returns how many bytes the arrays of a file of weights may take together, compressed or not.

    Args:
        file_bytes: the size of the file.

    Example:
        >>> array_limit(1000) == 64 << 20, array_limit(1 << 30) == MAX_FILE_BYTES
        (True, True)
    """
    return min(MAX_FILE_BYTES, max(_SMALL_BYTES, _MAX_INFLATION * file_bytes))


def reading_limits(file_bytes: int) -> Limits:
    """Returns what a process that reads a file of weights may take.

    Its memory holds the file and its arrays, each twice: once as read and once as handed on.

    Args:
        file_bytes: the size of the file.
    """
    arrays = array_limit(file_bytes)
    return Limits(memory=2 * file_bytes + 2 * arrays + _SPARE, file=arrays + _SPARE)


def check_sum(declared: int, what: str, limit: int = MAX_FILE_BYTES) -> None:
    """Makes sure that all arrays of a file together are not larger than the weights of any network.

    Args:
        declared: bytes that the arrays take in memory.
        what: the file's name, for the message.
        limit: bytes at the most.

    Raises:
        DataError: they are larger.
    """
    if declared > limit:
        raise DataError(
            f"{what} declares {declared:,} bytes of weights, more than the {limit:,} that such a file can hold: it is "
            "damaged or made to harm"
        )
