"""What a Store tells about a file."""

from __future__ import annotations

from typing import NamedTuple


class FileInfo(NamedTuple):
    """One file of a store.

    Attributes:
        name: the path below the store, with `/` between its parts.
        uri: the full URI.
        size: the size in bytes.
        modified: the time of the last change, in seconds since the epoch.
    """

    name: str
    uri: str
    size: int
    modified: float
