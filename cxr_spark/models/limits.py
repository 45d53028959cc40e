"""The largest networks and weight files that are read: whatever a file declares is compared before memory is taken."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from cxr_spark.config.model import HiddenWidths
from cxr_spark.errors import DataError

__all__ = ["MAX_FILE_BYTES", "MAX_OUTPUTS", "HiddenWidths", "Outputs", "check_sum"]

#: Outputs of a network at the most; ImageNet's have 1,000.
MAX_OUTPUTS = 100_000
#: Bytes of a file of weights at the most, and of the float32 values in it. VGG-16, the largest network, has 553 MB.
MAX_FILE_BYTES = 2 << 30
Outputs = Annotated[int, Field(ge=0, le=MAX_OUTPUTS)]


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
