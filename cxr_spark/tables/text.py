"""Text that goes into tables."""

from __future__ import annotations


def printable(name: str) -> str:
    r"""Makes any file name or URI storable as UTF-8: bytes that are no UTF-8 are written as escapes.

    >>> print(printable(b"caf\xe9.png".decode("utf-8", "surrogateescape")))
    caf\udce9.png
    """
    return name.encode("utf-8", "backslashreplace").decode()
