"""DINOv2 encoders with transformers' names, and what they make of images, computed from the published formulas alone.

Oquab et al., "DINOv2", 2023; Dosovitskiy et al., "An Image is Worth 16x16 Words", 2021; Touvron et al., "Going deeper
with Image Transformers", 2021, for the factors of layers; Darcet et al., "Vision Transformers Need Registers", 2024.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

pytest.importorskip("timm")

from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from timm.models.vision_transformer import VisionTransformer

from cxr_spark.models.architectures import build
from cxr_spark.models.importers.normalisation import Normalisation
from cxr_spark.models.initial_weights import load_initial_weights as load_initial
from cxr_spark.models.weights import Weights
from tests.support.timm_networks import as_bgr, images

#: A network like timm's of DINOv2, but small: two layers of width 64 with two heads, for images of 28 pixels.
TINY = "vit_cxrtest_patch14_dinov2"
PATCH = 14
#: Three colours that differ, so that a swap of channels shows.
COLOURS = Normalisation((0.5, 0.4, 0.3), (0.2, 0.3, 0.4))
default_cfgs = generate_default_cfgs(
    {
        f"{TINY}.none": {
            "input_size": (3, 28, 28),
            "fixed_input_size": True,
            "num_classes": 0,
            "mean": (0.5, 0.4, 0.3),
            "std": (0.2, 0.3, 0.4),
            "first_conv": "patch_embed.proj",
            "classifier": "head",
        }
    }
)


@register_model
def vit_cxrtest_patch14_dinov2(pretrained: bool = False, **kwargs: Any) -> VisionTransformer:
    """The network `TINY`, with the arguments that timm's networks of DINOv2 have."""
    own = {"img_size": 28, "patch_size": PATCH, "embed_dim": 64, "depth": 2, "num_heads": 2, "init_values": 1e-5}
    network: VisionTransformer = build_model_with_cfg(VisionTransformer, TINY, pretrained, **{**own, **kwargs})
    return network


def encoder(width: int, layers: int, grid: int, registers: int = 0, prefix: str = "") -> dict[str, Tensor]:
    """Makes random weights with the names of transformers' published files.

    They are larger than those of a new network, so that each of them counts in the result.
    """
    random = torch.Generator().manual_seed(6)

    def values(*shape: int, scale: float = 0.3, around: float = 0.0) -> Tensor:
        return around + scale * torch.randn(shape, generator=random)

    state = {
        "embeddings.cls_token": values(1, 1, width),
        "embeddings.mask_token": values(1, width),
        "embeddings.position_embeddings": values(1, 1 + grid**2, width),
        "embeddings.patch_embeddings.projection.weight": values(width, 3, PATCH, PATCH, scale=0.05),
        "embeddings.patch_embeddings.projection.bias": values(width),
        "layernorm.weight": values(width, around=1.0),
        "layernorm.bias": values(width),
    }
    if registers:
        state["embeddings.register_tokens"] = values(1, registers, width)
    for layer in range(layers):
        start = f"encoder.layer.{layer}"
        for name, rows, columns in [
            *[(f"attention.attention.{part}", width, width) for part in ("query", "key", "value")],
            ("attention.output.dense", width, width),
            ("mlp.fc1", 4 * width, width),
            ("mlp.fc2", width, 4 * width),
        ]:
            state[f"{start}.{name}.weight"] = values(rows, columns, scale=columns**-0.5)
            state[f"{start}.{name}.bias"] = values(rows)
        for number in (1, 2):
            state[f"{start}.norm{number}.weight"] = values(width, around=1.0)
            state[f"{start}.norm{number}.bias"] = values(width)
            state[f"{start}.layer_scale{number}.lambda1"] = values(width, around=0.5)
    return {prefix + name: tensor for name, tensor in state.items()}


def in_memory_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Gives weights the names that transformers 5 has in memory; its files have the published ones."""
    return {
        name.replace("attention.attention.query", "attention.q_proj")
        .replace("attention.attention.key", "attention.k_proj")
        .replace("attention.attention.value", "attention.v_proj")
        .replace("attention.output.dense", "attention.o_proj"): tensor
        for name, tensor in state.items()
    }


def class_token(state: dict[str, Tensor], pixels: Tensor, heads: int) -> Tensor:
    """Returns an encoder's last class token, float32 (N, width).

    For images of another size, the positions of the patches are interpolated, bicubic and smoothed as timm does it.

    Args:
        state: weights as `encoder` makes them, without a prefix.
        pixels: normalised RGB, float32 (N, 3, side, side).
        heads: number of heads of attention.
    """
    count, grid = len(pixels), pixels.shape[-1] // PATCH
    kernel, bias = (state[f"embeddings.patch_embeddings.projection.{kind}"] for kind in ("weight", "bias"))
    width = len(bias)
    # Each patch is a row; its product with the kernel's rows is what the convolution gives.
    patches = (
        pixels.unfold(2, PATCH, PATCH).unfold(3, PATCH, PATCH).permute(0, 2, 3, 1, 4, 5).reshape(count, grid**2, -1)
    )
    x = patches @ kernel.reshape(width, -1).T + bias
    positions = state["embeddings.position_embeddings"]
    own = math.isqrt(positions.shape[1] - 1)
    spread = positions[:, 1:].reshape(1, own, own, width).permute(0, 3, 1, 2)
    if own != grid:
        spread = functional.interpolate(spread, size=(grid, grid), mode="bicubic", antialias=True)
    first = (state["embeddings.cls_token"] + positions[:, :1]).expand(count, -1, -1)
    registers = state.get("embeddings.register_tokens", torch.zeros(1, 0, width)).expand(count, -1, -1)
    x = torch.cat([first, registers, x + spread.flatten(2).transpose(1, 2)], 1)
    layers = sum(name.endswith("norm1.weight") for name in state)
    for layer in range(layers):
        start = f"encoder.layer.{layer}"
        x = x + state[f"{start}.layer_scale1.lambda1"] * _attention(
            state, start, _norm(state, f"{start}.norm1", x), heads
        )
        inner = _linear(state, f"{start}.mlp.fc1", _norm(state, f"{start}.norm2", x))
        inner = inner * (1 + torch.erf(inner / math.sqrt(2))) / 2  # GELU
        x = x + state[f"{start}.layer_scale2.lambda1"] * _linear(state, f"{start}.mlp.fc2", inner)
    return _norm(state, "layernorm", x)[:, 0]


def _attention(state: dict[str, Tensor], start: str, x: Tensor, heads: int) -> Tensor:
    query, key, value = (
        _linear(state, f"{start}.attention.attention.{part}", x).unflatten(-1, (heads, -1)).transpose(1, 2)
        for part in ("query", "key", "value")
    )
    weights = (query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])).softmax(-1)
    return _linear(state, f"{start}.attention.output.dense", (weights @ value).transpose(1, 2).flatten(2))


def _linear(state: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]


def _norm(state: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    spread = x - x.mean(-1, keepdim=True)
    return (
        spread / (spread.square().mean(-1, keepdim=True) + 1e-6).sqrt() * state[f"{name}.weight"]
        + state[f"{name}.bias"]
    )


def save(tensors: dict[str, Tensor], path: Path) -> str:
    if path.suffix == ".pth":
        torch.save(tensors, path)
    else:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    return str(path)


def logits(weights: Weights, rgb: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the logits of a network that begins with these weights, and the matrix and bias of its classifier."""
    assert weights.header.n_outputs == 0
    network = build(weights.header.architecture, 3, seed=1).eval()
    load_initial(network, Weights.from_bytes(weights.to_bytes(), "again"), findings=("A", "B", "C"))
    state = network.state_dict()
    with torch.inference_mode():
        return network(as_bgr(rgb)), state["head.output.weight"], state["head.output.bias"]


def check_features(weights: Weights, state: dict[str, Tensor], side: int, normal: Normalisation, heads: int) -> None:
    """Makes sure that a network with imported weights has the logits that the formulas give for the same images."""
    rgb = images(side)
    found, matrix, bias = logits(weights, rgb)
    mean, std = (torch.tensor(values).reshape(3, 1, 1) for values in normal)
    wanted = class_token(state, (rgb / 255 - mean) / std, heads) @ matrix.T + bias
    assert wanted.std() > 0.01
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5 * max(1.0, float(wanted.std())))
