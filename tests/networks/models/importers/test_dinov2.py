"""DINOv2 encoders as transformers publishes them, RAD-DINO among them: the same features on the program's input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from cxr_spark.errors import DataError, UsageError
from cxr_spark.models.importers import import_weights
from tests.support.dinov2 import COLOURS, TINY, check_features, class_token, encoder, in_memory_names, save
from tests.support.timm_networks import images

SMALL = "vit_small_patch14_dinov2"


@pytest.mark.parametrize("side", [28, 56, 42])
@pytest.mark.parametrize(
    ("file", "prefix"), [("model.safetensors", ""), ("model.safetensors", "dinov2."), ("model.pth", "model.")]
)
def test_features_are_those_of_the_published_formulas(tmp_path: Path, file: str, prefix: str, side: int) -> None:
    state = encoder(64, 2, grid=2)
    source = save(encoder(64, 2, grid=2, prefix=prefix), tmp_path / file)
    weights = import_weights(source, f"timm/{TINY}", normalisation=COLOURS)
    check_features(weights, state, side, COLOURS, heads=2)


@pytest.mark.parametrize(("name", "registers"), [(SMALL, 0), ("vit_small_patch14_reg4_dinov2", 4)])
def test_networks_that_are_published(tmp_path: Path, name: str, registers: int) -> None:
    """Their positions are for 518 pixels; these images have 56. With registers, timm's class token has no position."""
    state = encoder(384, 12, grid=37, registers=registers)
    weights = import_weights(save(state, tmp_path / "a.safetensors"), f"timm/{name}", normalisation=COLOURS)
    check_features(weights, state, 56, COLOURS, heads=6)


def test_files_with_the_names_of_transformers_5_in_memory_and_with_a_classifier(tmp_path: Path) -> None:
    state = encoder(64, 2, grid=2)
    new = in_memory_names(encoder(64, 2, grid=2, prefix="dinov2."))
    new.update({"classifier.weight": torch.zeros(5, 128), "classifier.bias": torch.zeros(5)})
    weights = import_weights(save(new, tmp_path / "a.pth"), f"timm/{TINY}", normalisation=COLOURS)
    check_features(weights, state, 28, COLOURS, heads=2)


@pytest.mark.parametrize("registers", [0, 4])
def test_transformers_own_network_gives_the_same_features(registers: int) -> None:
    """What the other tests compare with is right itself."""
    transformers = pytest.importorskip("transformers")
    kind = "Dinov2WithRegisters" if registers else "Dinov2"
    config = getattr(transformers, f"{kind}Config")(
        hidden_size=64, num_hidden_layers=2, num_attention_heads=2, image_size=28, patch_size=14
    )
    network = getattr(transformers, f"{kind}Model")(config).eval()
    state = encoder(64, 2, grid=2, registers=registers)
    new = any("q_proj" in name for name in network.state_dict())
    network.load_state_dict(in_memory_names(state) if new else state)
    pixels = images(28) / 255
    with torch.inference_mode():
        found = network(pixels).last_hidden_state[:, 0]
    torch.testing.assert_close(class_token(state, pixels, 2), found, rtol=1e-5, atol=1e-5)


BASE = "embeddings.patch_embeddings.projection.weight"
FIRST = "encoder.layer.0"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({f"{FIRST}.mlp.fc1.bias": None}, r"lacks encoder\.layer\.0\.mlp\.fc1\.bias"),
        (
            {f"{FIRST}.attention.attention.key.weight": None},
            r"lacks encoder\.layer\.0\.attention\.attention\.key\.weight",
        ),
        ({"embeddings.cls_token": None}, r"lacks embeddings\.cls_token"),
        ({f"{FIRST}.mlp.weights_in.weight": torch.zeros(3)}, r"has unknown encoder\.layer\.0\.mlp\.weights_in\.weight"),
        (
            {f"{FIRST}.attention.attention.query.weight": torch.zeros(64)},
            r"query\.weight has shape \[64\], expected \[64, 64",
        ),
        ({f"{FIRST}.norm1.weight": torch.zeros(64, dtype=torch.int64)}, r"norm1\.weight is torch\.int64"),
        ({"layernorm.bias": torch.full((64,), float("nan"))}, r"layernorm\.bias has 64 of 64 values that are NaN"),
        (
            {"embeddings.position_embeddings": torch.zeros(1, 17, 64)},
            r"17 positions, expected 5.*2 x 2 patches.*28 pixels",
        ),
        ({"embeddings.position_embeddings": torch.zeros(5)}, r"position_embeddings has shape \[5\]"),
        ({BASE: torch.zeros(())}, "has 2 layers of width 0"),
        ({BASE: torch.zeros(64, 3, 16, 16)}, "patches of 16 pixels: none of timm's|patches of 16 pixels, and"),
        ({"encoder.layer.9999.norm1.weight": torch.zeros(64)}, "has 10000 layers of width 64"),
        ({f"encoder.layer.{'9' * 5000}.norm1.weight": torch.zeros(64)}, "has unknown encoder"),
        ({f"{FIRST}.attention.q_proj.bias": torch.zeros(64)}, r"query\.bias twice"),
        ({"decoder.weight": torch.zeros(64)}, r"has unknown decoder\.weight"),
    ],
)
def test_incomplete_and_hostile_files_are_one_clear_error(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    state = {name: tensor for name, tensor in {**encoder(64, 2, 2), **change}.items() if tensor is not None}
    with pytest.raises(DataError, match=message) as told:
        import_weights(save(state, tmp_path / "a.safetensors"), f"timm/{TINY}", normalisation=COLOURS)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("width", "layers", "registers", "architecture", "fits"),
    [
        (768, 12, 0, f"timm/{SMALL}", "timm/vit_base_patch14_dinov2"),
        (384, 12, 4, f"timm/{SMALL}.lvd142m", "timm/vit_small_patch14_reg4_dinov2"),
        (1024, 24, 0, f"timm/{TINY}", "timm/vit_large_patch14_dinov2"),
        (768, 12, 0, "timm/vit_base_patch16_224", "timm/vit_base_patch14_dinov2"),
        (768, 12, 0, "resnet50", "timm/vit_base_patch14_dinov2"),
    ],
)
def test_the_message_says_which_network_fits(
    tmp_path: Path, width: int, layers: int, registers: int, architecture: str, fits: str
) -> None:
    state = {BASE: torch.zeros(width, 3, 14, 14), f"encoder.layer.{layers - 1}.norm1.weight": torch.zeros(width)}
    if registers:
        state["embeddings.register_tokens"] = torch.zeros(1, registers, width)
    with pytest.raises(UsageError, match=rf"{layers} layers|no network of DINOv2") as told:
        import_weights(save(state, tmp_path / "a.safetensors"), architecture)
    assert str(told.value).endswith(f": say --architecture {fits}")
