"""Networks without storage: shapes to check weights by, or to load them into."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from cxr_spark.models.compiler import no_cache_folder

#: Methods of tensors that initialisers of networks call.
_DRAWS = (torch.Tensor.normal_, torch.Tensor.uniform_)


class _NoDraws(TorchFunctionMode):
    """Leaves weights as they are where they would be drawn.

    There is nothing to draw into on the meta device, and torch imports its compiler for a draw there.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func in _DRAWS or getattr(func, "__module__", None) == nn.init.__name__:
            return args[0] if args else (kwargs or {})["tensor"]
        return func(*args, **(kwargs or {}))


@contextlib.contextmanager
def empty() -> Iterator[None]:
    """Networks that are made within have no storage, and calculations with them give shapes only."""
    with no_cache_folder(), torch.device("meta"), _NoDraws():
        yield
