"""Imports torch's compiler without the folder that its import leaves in the system's temporary one.

torch's optimisers import the compiler when they are first used, though nothing here is compiled. The compiler makes its
cache folder (`torchinductor_USER`) at once. With an existing folder as the cache there is nothing to make.
"""

from __future__ import annotations

import os
import tempfile

_CACHE = "TORCHINDUCTOR_CACHE_DIR"


def import_compiler() -> None:
    """Imports torch's compiler; the variable that names its cache is set during the import only."""
    if _CACHE in os.environ:
        import torch._dynamo

        return
    os.environ[_CACHE] = tempfile.gettempdir()
    try:
        import torch._dynamo  # noqa: F401
    finally:
        del os.environ[_CACHE]
