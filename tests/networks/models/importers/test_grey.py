"""Weights of networks for one grey channel: the same logits as the original on every grey image, borders included."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision import models

from cxr_spark.commands.main import main
from cxr_spark.errors import DataError, UsageError
from cxr_spark.models.architectures import build
from cxr_spark.models.importers import import_weights

MEAN_BGR = torch.tensor([103.939, 116.779, 123.68]).view(1, 3, 1, 1)
XRV = (-1024.0, 1024.0)


class WholeModel(nn.Module):
    """Stands for the class of torchxrayvision whose objects its older files hold."""


def grey_network(name: str, seed: int = 4) -> nn.Module:
    """torchvision's network with a first convolution for one channel, as torchxrayvision has it."""
    torch.manual_seed(seed)
    network: Any = models.get_model(name, weights=None, num_classes=18)
    if name == "densenet121":
        network.features.conv0 = nn.Conv2d(1, 64, kernel_size=7, stride=2, padding=3, bias=False)
    else:
        network.conv1 = nn.Conv2d(1, 64, kernel_size=7, stride=2, padding=3, bias=False)
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_(0, 0.1)
            part.running_var.uniform_(0.5, 1.5)
    return network.eval()


def grey_images() -> torch.Tensor:
    """Grey values of 0 to 255, float32 (2, 1, 64, 64)."""
    return torch.randint(0, 256, (2, 1, 64, 64), generator=torch.Generator().manual_seed(9)).float()


def as_trained(images: torch.Tensor, black: float, white: float) -> torch.Tensor:
    """For -1024 to 1024 this is torchxrayvision's `normalize(images, 255)`: (2 * (images / 255) - 1) * 1024."""
    return black + (white - black) * (images / 255)


@pytest.mark.parametrize("grey_range", [XRV, (0.0, 1.0), (1.0, -1.0)])
@pytest.mark.parametrize("name", ["densenet121", "resnet50"])
def test_logits_are_those_of_the_original(tmp_path: Path, name: str, grey_range: tuple[float, float]) -> None:
    original = grey_network(name)
    torch.save(original.state_dict(), tmp_path / "grey.pth")
    weights = import_weights(str(tmp_path / "grey.pth"), name, grey_range)
    network = build(name, 18, batch_norm_epsilon=weights.header.batch_norm_epsilon).eval()
    network.load_state_dict(weights.tensors)
    grey = grey_images()
    with torch.inference_mode():
        wanted = original(as_trained(grey, *grey_range))
        found = network(grey.expand(-1, 3, -1, -1) - MEAN_BGR)
    assert wanted.std() > 0.01
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5 * max(1.0, float(wanted.std())))


@pytest.mark.parametrize("prefix", ["", "model.", "module."])
def test_what_torchxrayvision_keeps_beside_the_weights_is_left_out(tmp_path: Path, prefix: str) -> None:
    state = grey_network("resnet50").state_dict()
    torch.save(
        {**{prefix + key: value for key, value in state.items()}, "op_threshs": torch.rand(18)}, tmp_path / "a.pt"
    )
    weights = import_weights(str(tmp_path / "a.pt"), "resnet50", XRV)
    assert weights.header.n_outputs == 18
    assert torch.equal(weights.tensors["fc.output.weight"], state["fc.weight"])
    assert weights.tensors["conv1.weight"].shape == (64, 3, 7, 7)


def test_a_whole_object_is_refused_with_the_way_to_convert_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As torchxrayvision's own files of DenseNets hold one, pickled under the name of its class."""
    for name in ("torchxrayvision", "torchxrayvision.models"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setattr(WholeModel, "__module__", "torchxrayvision.models")
    monkeypatch.setattr(sys.modules["torchxrayvision.models"], "WholeModel", WholeModel, raising=False)
    torch.save(WholeModel(), tmp_path / "whole.pt")
    wanted = r"holds an object of torchxrayvision\.models\.WholeModel, .*run code.*weights_only=False"
    with pytest.raises(DataError, match=wanted) as told:
        import_weights(str(tmp_path / "whole.pt"), "densenet121", XRV)
    assert "\n" not in str(told.value)


def test_the_range_is_asked_for_and_refused_where_it_means_nothing(tmp_path: Path) -> None:
    torch.save(grey_network("resnet50").state_dict(), tmp_path / "grey.pth")
    with pytest.raises(UsageError, match=r"input has one channel.*--grey-range -1024 1024"):
        import_weights(str(tmp_path / "grey.pth"), "resnet50")
    for wrong in ((1.0, 1.0), (float("nan"), 1.0), (0.0, float("inf"))):
        with pytest.raises(UsageError, match="expected two different numbers"):
            import_weights(str(tmp_path / "grey.pth"), "resnet50", wrong)
    save_file(models.resnet50(num_classes=3).state_dict(), tmp_path / "colour.safetensors")
    with pytest.raises(UsageError, match="which this one has not"):
        import_weights(str(tmp_path / "colour.safetensors"), "resnet50", XRV)
    (tmp_path / "model.json").write_text("{}")
    with pytest.raises(UsageError, match="is for weights with torchvision's names"):
        import_weights(str(tmp_path / "model.json"), "resnet50_v1", XRV)


def test_the_command(tmp_path: Path) -> None:
    torch.save(grey_network("densenet121").state_dict(), tmp_path / "grey.pth")
    out = tmp_path / "grey.safetensors"
    arguments = ["import-weights", str(tmp_path / "grey.pth"), "--architecture", "densenet121", "--out", str(out)]
    assert main(arguments) == 2
    assert not out.exists()
    assert main([*arguments, "--grey-range", "-1024", "1024"]) == 0
    expected = import_weights(str(tmp_path / "grey.pth"), "densenet121", XRV)
    assert out.read_bytes() == expected.to_bytes()
