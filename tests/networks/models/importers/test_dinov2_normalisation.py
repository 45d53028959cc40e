"""The mean and std of DINOv2 encoders: from the file beside them or from options, else one clear error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torchvision.transforms.v2.functional import normalize

from cxr_spark.commands.main import main
from cxr_spark.errors import DataError, UsageError
from cxr_spark.models.architectures import build
from cxr_spark.models.importers import import_weights
from cxr_spark.models.importers.normalisation import Normalisation
from cxr_spark.models.weights import Weights
from tests.support.dinov2 import COLOURS, TINY, check_features, encoder, save
from tests.support.timm_networks import as_bgr, images, own_network

#: RAD-DINO's.
MEAN, STD = (0.5307, 0.5307, 0.5307), (0.2583, 0.2583, 0.2583)


def preprocessor(folder: Path, **changes: Any) -> None:
    """Writes what RAD-DINO is published with."""
    fields = {
        "crop_size": {"height": 518, "width": 518},
        "do_center_crop": True,
        "do_normalize": True,
        "do_rescale": True,
        "image_mean": MEAN,
        "image_processor_type": "BitImageProcessor",
        "image_std": STD,
        "rescale_factor": 1 / 255,
        **changes,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(fields))


def test_mean_and_std_are_those_beside_the_file_unless_options_say_others(tmp_path: Path) -> None:
    state = encoder(64, 2, grid=2)
    source = save(state, tmp_path / "model.safetensors")
    preprocessor(tmp_path)
    check_features(import_weights(source, f"timm/{TINY}"), state, 28, Normalisation(MEAN, STD), heads=2)
    check_features(import_weights(source, f"timm/{TINY}.none", normalisation=COLOURS), state, 28, COLOURS, heads=2)


def test_a_mean_and_std_that_nobody_says_are_not_guessed(tmp_path: Path) -> None:
    source = save(encoder(64, 2, grid=2), tmp_path / "model.safetensors")
    with pytest.raises(UsageError, match=r"preprocessor_config\.json .*--mean R G B --std R G B") as told:
        import_weights(source, f"timm/{TINY}")
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_mean": [0.5, 0.5]}, "image_mean"),
        ({"image_mean": "0.5"}, "image_mean"),
        ({"image_mean": [123.7, 116.3, 103.5]}, r"image_mean\.0.* is 123\.7"),
        ({"image_std": [0, 0.2, 0.2]}, r"image_std\.0"),
        ({"image_std": [1e-300, 0.2, 0.2]}, r"image_std\.0"),
        ({"image_std": [float("nan"), 0.2, 0.2]}, "image_std"),
        ({"image_std": None}, "image_std"),
        ({"rescale_factor": 1.0}, "rescale_factor 1: expected"),
        ({"rescale_factor": float("inf")}, "rescale_factor"),
        ({"do_normalize": False}, "do_normalize False"),
        ({"do_rescale": "no"}, "do_rescale"),
        ({"image_processor_type": "x" * 2_000_000}, "more than 1,048,576 bytes"),
    ],
)
def test_a_preprocessor_that_cannot_be_taken_is_one_clear_error(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    source = save(encoder(64, 2, grid=2), tmp_path / "model.safetensors")
    preprocessor(tmp_path, **changes)
    with pytest.raises(DataError, match=message) as told:
        import_weights(source, f"timm/{TINY}")
    assert "preprocessor_config.json" in str(told.value)
    assert "--mean R G B and --std R G B" in str(told.value)
    assert len(str(told.value)) < 600
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("text", ["", "[]", "{", "null", "\x00", "[" * 100_000])
def test_a_preprocessor_that_is_no_json_object(tmp_path: Path, text: str) -> None:
    source = save(encoder(64, 2, grid=2), tmp_path / "model.safetensors")
    (tmp_path / "preprocessor_config.json").write_text(text)
    with pytest.raises(DataError, match=r"preprocessor_config\.json does not say the mean and std"):
        import_weights(source, f"timm/{TINY}")


def test_options_of_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = encoder(64, 2, grid=2)
    source, out = save(state, tmp_path / "model.safetensors"), tmp_path / "out.safetensors"
    start = ["import-weights", source, "--architecture", f"timm/{TINY}", "--out", str(out)]
    for options, message in [
        ([], "say --mean R G B --std R G B"),
        (["--mean", "0.5", "0.5", "0.5"], "--mean is there without the other"),
        (["--std", "0.5", "0.5", "0.5"], "--std is there without the other"),
        (
            ["--mean", "123", "117", "104", "--std", "1", "1", "1"],
            "--mean 123 117 104: expected three numbers of 0 to 1",
        ),
        (["--mean", "0", "0", "0", "--std", "0", "1", "1"], "--std 0 1 1: expected three numbers of 0.001 to 1"),
        (["--mean", "nan", "0", "0", "--std", "1", "1", "1"], "--mean nan 0 0: expected three numbers"),
    ]:
        assert main([*start, *options]) == 2
        assert message in capsys.readouterr().err
        assert not out.exists()
    assert main([*start, "--mean", "0.5", "0.4", "0.3", "--std", "0.2", "0.3", "0.4"]) == 0
    check_features(Weights.from_bytes(out.read_bytes(), "out"), state, 28, COLOURS, heads=2)


def test_options_that_belong_to_other_files_are_refused(tmp_path: Path) -> None:
    source = save(encoder(64, 2, grid=2), tmp_path / "model.safetensors")
    with pytest.raises(UsageError, match="--grey-range is for weights with torchvision's names"):
        import_weights(source, f"timm/{TINY}", (-1024.0, 1024.0))
    other = save({"conv1.weight": torch.zeros(64, 3, 7, 7)}, tmp_path / "resnet.pth")
    with pytest.raises(UsageError, match="--mean and --std are for networks of timm"):
        import_weights(other, "resnet50", normalisation=COLOURS)
    (tmp_path / "model.json").write_text("{}")
    with pytest.raises(UsageError, match="--mean and --std are for networks of timm"):
        import_weights(str(tmp_path / "model.json"), "resnet50_v1", normalisation=COLOURS)


def test_a_file_with_timms_names_takes_the_mean_and_std_of_the_options(tmp_path: Path) -> None:
    own = own_network("resnet10t", 5)
    weights = import_weights(save(dict(own.state_dict()), tmp_path / "a.pth"), "timm/resnet10t", normalisation=COLOURS)
    network = build("timm/resnet10t", 5, batch_norm_epsilon=weights.header.batch_norm_epsilon).eval()
    network.load_state_dict(weights.tensors)
    rgb = images(64)
    with torch.inference_mode():
        wanted = own(normalize(rgb / 255, list(COLOURS.mean), list(COLOURS.std)))
        found = network(as_bgr(rgb))
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5 * max(1.0, float(wanted.std())))
