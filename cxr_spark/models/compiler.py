"""Imports torch's compiler without the folder that its import leaves in the system's temporary one.

torch's optimisers import the compiler when they are first used, and so do calculations without storage, though nothing
here is compiled. The compiler makes its cache folder (`torchinductor_USER`) at once. With an existing folder as the
cache there is nothing to make.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator

_CACHE = "TORCHINDUCTOR_CACHE_DIR"


@contextlib.contextmanager
def no_cache_folder() -> Iterator[None]:
    """Names an existing folder as the compiler's cache, for as long as something runs that may import the compiler."""
    if _CACHE in os.environ:
        yield
        return
    os.environ[_CACHE] = tempfile.gettempdir()
    try:
        yield
    finally:
        os.environ.pop(_CACHE, None)


def import_compiler() -> None:
    """Imports torch's compiler; the variable that names its cache is set during the import only."""
    with no_cache_folder():
        import torch._dynamo  # noqa: F401
