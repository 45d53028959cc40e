"""Imports torchvision without torch's compiler, which takes longer to import than torch itself.

All other modules take torchvision's `models` and `ops` from here, so that this module is the first to import it.

One module of torchvision takes one function from the compiler when it is imported. Nothing here is compiled, so every
process that runs a network (each Python worker of Spark, too) would spend two seconds of processor time for nothing.
During the import a stand-in offers that one function. Whatever else is asked of the stand-in, and each call of the
function, imports the compiler after all, so a torchvision that needs more of it works as well, only not as soon.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

__all__ = ["models", "ops"]

_COMPILER = "torch._dynamo.utils"


class _StandIn(ModuleType):
    """Looks like a part of torch's compiler, and makes way for it when more than `is_compile_supported` is used."""

    @staticmethod
    def is_compile_supported(device_type: Any) -> Any:
        """Returns what torch's own function of this name does."""
        return import_module(_COMPILER).is_compile_supported(device_type)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # what Python's import looks for in every module
            raise AttributeError(name)
        if sys.modules.get(_COMPILER) is self:
            del sys.modules[_COMPILER]
        return getattr(import_module(_COMPILER), name)


if _COMPILER in sys.modules:
    from torchvision import models, ops
else:
    sys.modules[_COMPILER] = _stand_in = _StandIn(_COMPILER)
    try:
        from torchvision import models, ops
    finally:
        if sys.modules.get(_COMPILER) is _stand_in:
            del sys.modules[_COMPILER]
