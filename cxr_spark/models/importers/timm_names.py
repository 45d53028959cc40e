"""Weights with timm's names: what its networks' `state_dict()` has, in a safetensors file or a .pth."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from cxr_spark.errors import DataError
from cxr_spark.models.architectures import architecture, batch_norm_epsilon_of, build_empty
from cxr_spark.models.importers.normalisation import Normalisation
from cxr_spark.models.limits import MAX_OUTPUTS
from cxr_spark.models.timm_networks import input_buffers
from cxr_spark.models.weights import Weights, WeightsHeader


def from_timm(
    state: Mapping[str, Tensor],
    architecture_name: str,
    *,
    what: str,
    source_kind: Literal["torchvision", "safetensors"],
    source_sha256: str,
    normalisation: Normalisation | None = None,
) -> Weights:
    """Turns weights of one of timm's networks into the program's own form.

    The mean and std that they expect go with them. Files of older releases of timm, and of
    the makers of some networks, have other names: those are put right by timm's own code.

    Args:
        state: the tensors.
        architecture_name: `timm/NAME` or `timm/NAME.TAG`.
        what: the name of the file that they are from, for messages and the record.
        source_kind: the kind of that file, for the record.
        source_sha256: the SHA-256 of that file, for the record.
        normalisation: the mean and std that the weights expect; default: those of timm's name and tag.

    Raises:
        ConfigError: timm has no such network, or is not installed.
        DataError: the tensors are not of this network, or damaged.
    """
    spec = architecture(architecture_name)
    network = build_empty(architecture_name, 1)
    epsilon = batch_norm_epsilon_of(network)
    head = f"{spec.classifier}."
    constants = input_buffers(*(normalisation or (spec.rgb_mean, spec.rgb_std)))
    own = {name for name in network.state_dict() if not name.startswith(head) and name not in constants}
    if not own <= state.keys() or any(name not in own and not name.startswith(head) for name in state):
        state = _by_timm(state, spec.create(), what)
    tensors = {_renamed(name, head): t.float() if t.is_floating_point() else t for name, t in state.items()}
    matrix = tensors.get(f"{head}output.weight")
    n_outputs = 0
    if matrix is not None:
        if matrix.ndim not in (2, 4) or not 1 <= len(matrix) <= MAX_OUTPUTS:
            raise DataError(
                f"{what}: {head}weight has shape {list(matrix.shape)}, expected a matrix of 1 to {MAX_OUTPUTS:,} rows"
            )
        n_outputs = len(matrix)
        tensors[f"{head}output.weight"] = matrix.flatten(1)  # a convolution with one pixel is a matrix, too
    for name, wanted in network.state_dict().items():
        if name.endswith("num_batches_tracked"):
            tensors.setdefault(name, torch.zeros(wanted.shape, dtype=wanted.dtype, device="cpu"))
    header = WeightsHeader(
        architecture=architecture_name,
        n_outputs=n_outputs,
        batch_norm_epsilon=epsilon,
        source=what,
        source_kind=source_kind,
        source_sha256=source_sha256,
    )
    weights = Weights(header, {**tensors, **constants})
    weights.check(what)
    return weights


def _by_timm(state: Mapping[str, Tensor], network: nn.Module, what: str) -> Mapping[str, Tensor]:
    """Renames weights by the function that timm has for the files of a network, where it has one."""
    rename = getattr(sys.modules[type(network).__module__], "checkpoint_filter_fn", None)
    if rename is None:
        return state
    try:
        found: Mapping[str, Tensor] = rename(dict(state), network)
    except Exception as error:  # timm's code takes its files for granted, and raises anything at others
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise DataError(f"{what} has no weights that timm can rename for this network ({first})") from None
    return {name: tensor for name, tensor in found.items() if isinstance(tensor, Tensor)}


def _renamed(name: str, head: str) -> str:
    return f"{head}output.{name.removeprefix(head)}" if name in (f"{head}weight", f"{head}bias") else name
