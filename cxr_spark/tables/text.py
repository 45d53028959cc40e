"""Makes texts fit for tables and messages."""

from __future__ import annotations

from collections.abc import Mapping


def printable(name: str) -> str:
    r"""Makes any file name or URI storable as UTF-8: bytes that are no UTF-8 are written as escapes.

    >>> print(printable(b"caf\xe9.png".decode("utf-8", "surrogateescape")))
    caf\udce9.png
    """
    return name.encode("utf-8", "backslashreplace").decode()


def counted(counts: Mapping[str, int]) -> str:
    """Lists counts in one line, for a message.

    >>> counted({"corrupt": 2, "too_large": 1})
    'corrupt 2, too_large 1'
    """
    return ", ".join(f"{name} {count}" for name, count in counts.items())


def spreadsheet_safe(text: str) -> str:
    """Puts an apostrophe before a text that a spreadsheet would take for a formula when it opens a CSV file.

    Source: OWASP, "CSV Injection": a cell that begins with =, +, -, @, a tab or a line break.

    >>> spreadsheet_safe("=1+1"), spreadsheet_safe("a.png")
    ("'=1+1", 'a.png')
    """
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) else text
