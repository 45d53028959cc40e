"""Imports torchvision without the folder that its import leaves in the system's temporary one.

torchvision prepares torch's compiler, which makes its cache folder (`torchinductor_USER`) at once, though nothing here
is compiled. With an existing folder as the cache there is nothing to make. The variable is set during the import only.
"""

from __future__ import annotations

import os
import tempfile

_CACHE = "TORCHINDUCTOR_CACHE_DIR"

if _CACHE in os.environ:
    import torchvision
else:
    os.environ[_CACHE] = tempfile.gettempdir()
    try:
        import torchvision  # noqa: F401
    finally:
        del os.environ[_CACHE]
