"""Named tensors as safetensors bytes, and the checks that weights of unknown origin must pass."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterable, Mapping

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from cxr_spark.errors import DataError
from cxr_spark.models.header_note import NOTE, read_note


def to_bytes(tensors: Mapping[str, Tensor], note: str | None = None) -> bytes:
    """Serialises tensors. The same tensors and note always give the same bytes.

    Args:
        tensors: name to tensor, on any device and of any memory format.
        note: text kept in the file's header. It is one entry: the order of several would vary from run to run.
    """
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    return bytes(safetensors.torch.save(plain, {NOTE: note} if note is not None else None))


def from_bytes(data: bytes, what: str) -> tuple[dict[str, Tensor], str | None]:
    """Reads what `to_bytes` or any other safetensors writer wrote.

    Args:
        data: the whole file.
        what: the file's name, for messages.

    Returns:
        The tensors, and the note of `to_bytes`; None in files of other programs.

    Raises:
        DataError: the bytes are not a whole safetensors file.
    """
    try:
        return safetensors.torch.load(data), read_note(data)
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(f"{what} is not a whole safetensors file ({error}): copy or import it again") from None


def sha256(data: bytes) -> str:
    """Returns the SHA-256 of a file's bytes, in hex."""
    return hashlib.sha256(data).hexdigest()


def check(tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor], what: str) -> None:
    """Makes sure that weights fit a network, are numbers, and can be variances where they stand for variances.

    Args:
        tensors: the weights.
        expected: the network's `state_dict()`, or the part of it that they are for.
        what: the file that the weights are from, for messages.

    Raises:
        DataError: names are missing or unknown, a shape or dtype differs, or a value is not finite.
    """
    missing = [name for name in expected if name not in tensors]
    extra = [name for name in tensors if name not in expected]
    if missing or extra:
        parts = []
        if missing:
            parts.append(f"lacks {_some(missing)}")
        if extra:
            near = difflib.get_close_matches(extra[0], missing, n=1)
            parts.append(f"has unknown {_some(extra)}" + (f" (near {near[0]})" if near else ""))
        raise DataError(f"{what} {' and '.join(parts)}: these are weights of another network")
    for name, tensor in tensors.items():
        wanted = expected[name]
        if tensor.shape != wanted.shape:
            raise DataError(
                f"{what}: {name} has shape {list(tensor.shape)}, expected {list(wanted.shape)}: "
                "these are weights of another network"
            )
        if tensor.dtype != wanted.dtype:
            raise DataError(f"{what}: {name} is {tensor.dtype}, expected {wanted.dtype}")
        check_values(name, tensor, what)


def check_values(name: str, tensor: Tensor, what: str) -> None:
    """Makes sure that a tensor holds finite numbers, none below zero where they are variances.

    Raises:
        DataError: it does not.
    """
    if not tensor.is_floating_point():
        return
    bad = int((~torch.isfinite(tensor)).sum())
    if bad:
        raise DataError(f"{what}: {name} has {bad:,} of {tensor.numel():,} values that are NaN or infinite")
    if name.endswith("running_var") and bool((tensor < 0).any()):
        raise DataError(f"{what}: {name} has a negative variance")


def _some(names: Iterable[str]) -> str:
    names = list(names)
    shown = ", ".join(names[:3])
    return f"{shown} and {len(names) - 3} more" if len(names) > 3 else shown
