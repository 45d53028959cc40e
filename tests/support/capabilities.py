"""Root without root's right to read and write whatever it likes, so that permissions can be tested as root, too."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

#: Of linux/capability.h: version 3 of the call, CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH.
_VERSION, _OVERRIDES = 0x20080522, 1 << 1 | 1 << 2


@contextmanager
def permissions_hold() -> Iterator[None]:
    """Makes permissions hold for this thread and those it starts; nothing to do for users other than root."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(_VERSION, 0)  # 0: this thread
    before, without = (ctypes.c_uint32 * 6)(), (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; twice
    for data in (before, without):
        _call(libc.capget, header, data)
    without[0] &= ~_OVERRIDES
    _call(libc.capset, header, without)
    try:
        yield
    finally:
        _call(libc.capset, header, before)


def _call(function: ctypes._NamedFuncPointer, *arguments: ctypes.Array[ctypes.c_uint32]) -> None:
    if function(*arguments):
        raise OSError(ctypes.get_errno(), "the thread's capabilities cannot be read or set")
