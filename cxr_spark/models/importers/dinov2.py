"""Weights with the names of Hugging Face transformers' `Dinov2Model`: RAD-DINO's, and those of other DINOv2 encoders.

The names are those of its published files, see
https://github.com/huggingface/transformers/blob/v4.56.0/src/transformers/models/dinov2/modeling_dinov2.py, and the
networks are those of Oquab et al., "DINOv2: Learning Robust Visual Features without Supervision", 2023.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Mapping
from typing import NamedTuple, NoReturn

import torch
from torch import Tensor

from cxr_spark.errors import DataError, UsageError
from cxr_spark.models import tensors as tensor_files
from cxr_spark.models.architectures import build_empty
from cxr_spark.models.names import is_timm

log = logging.getLogger(__name__)

#: What the names begin with in files of a whole classifier, or of a network that has the encoder as a part.
_PREFIXES = ("", "dinov2.", "dinov2_with_registers.", "model.", "backbone.")
_KERNEL = "embeddings.patch_embeddings.projection.weight"
_CLASS, _POSITIONS, _REGISTERS = "embeddings.cls_token", "embeddings.position_embeddings", "embeddings.register_tokens"
#: Stands for patches that are hidden in pretraining.
_MASK = "embeddings.mask_token"
_BLOCK = re.compile(r"encoder\.layer\.(\d{1,4})\.")
#: transformers 5 has other names of these in memory, though not in the files of its `save_pretrained`.
_NEW_NAMES = {
    ".attention.q_proj.": ".attention.attention.query.",
    ".attention.k_proj.": ".attention.attention.key.",
    ".attention.v_proj.": ".attention.attention.value.",
    ".attention.o_proj.": ".attention.output.dense.",
}
#: timm's name of each part of a layer, and transformers' names of the parts that it consists of.
_PARTS = {
    "norm1": ("norm1",),
    "attn.qkv": ("attention.attention.query", "attention.attention.key", "attention.attention.value"),
    "attn.proj": ("attention.output.dense",),
    "norm2": ("norm2",),
    "mlp.fc1": ("mlp.fc1",),
    "mlp.fc2": ("mlp.fc2",),
}
#: Width and number of layers of timm's networks. The giant one has other layers, and a file larger than any is read.
_SIZES = {(384, 12): "small", (768, 12): "base", (1024, 24): "large"}


class _Shape(NamedTuple):
    """What tells the networks of DINOv2 apart."""

    width: int
    layers: int
    registers: int
    patch: int

    def __str__(self) -> str:
        registers = f", {self.registers} registers" if self.registers else ""
        return f"{self.layers} layers of width {self.width}{registers} and patches of {self.patch} pixels"

    def name(self) -> str | None:
        """Returns the network of timm with this shape; None where there is none."""
        size = _SIZES.get((self.width, self.layers))
        kind = {0: "", 4: "reg4_"}.get(self.registers)
        return f"timm/vit_{size}_patch14_{kind}dinov2" if size and kind is not None and self.patch == 14 else None


def is_dinov2(tensors: Mapping[str, Tensor]) -> bool:
    """Whether the names are those of transformers' vision transformers, as DINOv2's are."""
    return any(prefix + _KERNEL in tensors for prefix in _PREFIXES)


def to_timm_names(tensors: Mapping[str, Tensor], architecture_name: str, what: str) -> dict[str, Tensor]:
    """Renames the weights of a DINOv2 encoder to those of timm's network, without a classifier.

    Query, key and value become one matrix. In a network with registers, the class token takes its position along:
    timm's has none there. The classifier of transformers' `Dinov2ForImageClassification` is left out, since it takes
    the mean of the patches, too. The number of heads, which no tensor tells, is that of timm's network.

    For images of another size than the positions are for, timm interpolates them smoothly (with antialiasing), and
    transformers does not: for these sizes the features of both differ a little.

    Args:
        tensors: tensors for which `is_dinov2` is true.
        architecture_name: `timm/NAME` or `timm/NAME.TAG`.
        what: the name of the file that they are from, for messages.

    Returns:
        float32 tensors by timm's names.

    Raises:
        UsageError: the tensors are of another network than the named one; the message says which one fits.
        DataError: tensors are missing, unknown or of wrong shapes, or hold values that are no finite numbers.
    """
    state = _without_prefix(tensors, what)
    shape = _shape_of(state)
    _check_name(shape, architecture_name, what)
    network = build_empty(architecture_name, 1).state_dict()
    known = _Shape(
        width=network["cls_token"].shape[-1],
        layers=sum(name.endswith(".norm1.weight") for name in network),
        registers=network["reg_token"].shape[1] if "reg_token" in network else 0,
        patch=network["patch_embed.proj.weight"].shape[-1],
    )
    if shape != known:
        _refuse(f"{what} has {shape}, and {architecture_name} has {known}", shape)
    sources = _sources(known)
    expected: dict[str, Tensor] = {}
    for name, parts in sources.items():
        expected.update(zip(parts, network[name].chunk(len(parts)), strict=True))
    patches = network["pos_embed"].shape[1] - (0 if known.registers else 1)
    expected[_POSITIONS] = torch.empty(1, patches + 1, known.width, device="meta")
    _check_positions(state, patches, known.patch, what)
    tensor_files.check(state, expected, what)
    found = {name: torch.cat([state[part] for part in parts]) for name, parts in sources.items()}
    if known.registers:
        found["cls_token"] = state[_CLASS] + state[_POSITIONS][:, :1]
        found["pos_embed"] = state[_POSITIONS][:, 1:].contiguous()
    return found


def _without_prefix(tensors: Mapping[str, Tensor], what: str) -> dict[str, Tensor]:
    """Takes what classification needs, as float32, by the names that published files have without a prefix."""
    prefix = next(prefix for prefix in _PREFIXES if prefix + _KERNEL in tensors)
    state = {}
    for name, tensor in tensors.items():
        if name.startswith("classifier."):
            log.info("%s: %s is left out, as transformers' classifier is of another kind", what, name)
            continue
        plain = name.removeprefix(prefix)
        for new, published in _NEW_NAMES.items():
            plain = plain.replace(new, published)
        if plain in state:
            raise DataError(f"{what} has {plain} twice: save the network's weights again")
        if plain != _MASK:
            state[plain] = tensor.float() if tensor.is_floating_point() else tensor
    return state


def _shape_of(state: Mapping[str, Tensor]) -> _Shape:
    layers = [int(found[1]) for found in map(_BLOCK.match, state) if found]
    registers = state.get(_REGISTERS)
    kernel = state[_KERNEL]
    return _Shape(
        width=kernel.shape[0] if kernel.ndim else 0,
        layers=max(layers, default=-1) + 1,
        registers=registers.shape[1] if registers is not None and registers.ndim > 1 else 0,
        patch=kernel.shape[-1] if kernel.ndim else 0,
    )


def _check_name(shape: _Shape, architecture_name: str, what: str) -> None:
    if not is_timm(architecture_name) or not architecture_name.partition(".")[0].endswith("dinov2"):
        _refuse(
            f"{what} has transformers' names, of which those of DINOv2 are read, and {architecture_name} is no network "
            "of DINOv2",
            shape,
        )


def _refuse(problem: str, shape: _Shape) -> NoReturn:
    if name := shape.name():
        raise UsageError(f"{problem}: say --architecture {name}")
    raise DataError(f"{problem}: none of timm's small, base and large networks of DINOv2 has {shape}")


def _check_positions(state: Mapping[str, Tensor], patches: int, patch: int, what: str) -> None:
    """Tells positions for images of another size, which otherwise look like weights of another network."""
    positions = state.get(_POSITIONS)
    if positions is None or positions.ndim != 3 or positions.shape[1] == patches + 1:
        return
    side = math.isqrt(patches)
    raise DataError(
        f"{what}: {_POSITIONS} has {positions.shape[1]} positions, expected {patches + 1}, those of the class token "
        f"and of {side} x {side} patches: import the network as it was published, for images of {side * patch} pixels"
    )


def _sources(shape: _Shape) -> dict[str, tuple[str, ...]]:
    """Returns timm's name of each tensor, and the names of the tensors that become it, one behind the other."""
    found: dict[str, tuple[str, ...]] = {"cls_token": (_CLASS,)}
    if shape.registers:
        found["reg_token"] = (_REGISTERS,)
    else:
        found["pos_embed"] = (_POSITIONS,)
    for kind in ("weight", "bias"):
        found[f"patch_embed.proj.{kind}"] = (f"embeddings.patch_embeddings.projection.{kind}",)
        found[f"norm.{kind}"] = (f"layernorm.{kind}",)
    for layer in range(shape.layers):
        ours, theirs = f"blocks.{layer}", f"encoder.layer.{layer}"
        for kind in ("weight", "bias"):
            for name, parts in _PARTS.items():
                found[f"{ours}.{name}.{kind}"] = tuple(f"{theirs}.{part}.{kind}" for part in parts)
        for scale in ("1", "2"):
            found[f"{ours}.ls{scale}.gamma"] = (f"{theirs}.layer_scale{scale}.lambda1",)
    return found
