"""Reads the note that a safetensors file carries in its header, beside the tensors. It needs no torch."""

from __future__ import annotations

import json

#: The key of the note in files that this program writes.
NOTE = "cxr_spark"
#: safetensors' own limit on the length of a header, bytes.
_MAX_HEADER = 100_000_000


def read_note(data: bytes, key: str = NOTE) -> str | None:
    """Returns the text under a key of a header's metadata.

    Args:
        data: the whole file.
        key: the key.

    Returns:
        The text; None where there is none, as in files of other programs.

    Raises:
        ValueError: the header is not JSON.
        RecursionError: it is nested too deeply.
    """
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + min(length, _MAX_HEADER)])
    metadata = header.get("__metadata__") if isinstance(header, dict) else None
    note = metadata.get(key) if isinstance(metadata, dict) else None
    return note if isinstance(note, str) else None
