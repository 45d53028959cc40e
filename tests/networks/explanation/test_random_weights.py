"""Maps of networks whose weights become random: against SciPy, against networks set up by hand, and a trained one."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

from cxr_spark.explanation.gradcam import GradCam
from cxr_spark.explanation.random_weights import compare_maps, randomised, rank_correlation
from cxr_spark.explanation.sanity import CheckedMaps, in_words, summary_of
from cxr_spark.models.architectures import architecture, build
from cxr_spark.models.head import Head, head_name

SIDE = 32


class Convolutions(nn.Module):
    """Four convolutions and a head: two outputs, maps of 8 x 8 cells of images of 32 x 32 pixels."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.conv1, self.conv2 = self.block(3, 8), self.block(8, 16)
            self.conv3, self.conv4 = self.block(16, 16), self.block(16, 32)
            self.pool = nn.MaxPool2d(2)
            self.fc = Head(32, 2)

    @staticmethod
    def block(before: int, after: int) -> nn.Module:
        return nn.Sequential(nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU())

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features = self.conv4(self.conv3(self.pool(self.conv2(self.pool(self.conv1(images))))))
        return self.fc(features.mean((2, 3)))


class BrightnessAlone(nn.Module):
    """The map is the image's own brightness, whatever the weights: what Adebayo et al. warn of."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.conv = nn.Conv2d(3, 4, 3)  # no output depends on it
            self.fc = Head(1, 1)
        self.cells = nn.AvgPool2d(4)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        brightness = self.cells(images.mean(dim=1, keepdim=True))
        return brightness.mean((2, 3)) * self.fc.output.weight.abs() + self.fc.output.bias


def bars(number: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Noise with an upright bar (the first label), a lying one (the second), both or neither."""
    draw = torch.Generator().manual_seed(seed)
    images, labels = torch.randn(number, 1, SIDE, SIDE, generator=draw) * 20, torch.zeros(number, 2)
    for image, label in zip(images, labels, strict=True):
        for place, (height, width) in enumerate([(6, 2), (2, 6)]):
            if torch.rand(1, generator=draw) < 0.5:
                label[place] = 1
                row, column = torch.randint(0, SIDE - 6, (2,), generator=draw).tolist()
                image[0, row : row + height, column : column + width] += 90
    return images.repeat(1, 3, 1, 1), labels


@pytest.fixture(scope="module")
def trained() -> nn.Module:
    network = Convolutions(0)
    images, labels = bars(256, 1)
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    for _ in range(10):
        for start in range(0, len(images), 32):
            optimizer.zero_grad()
            logits = network(images[start : start + 32])
            nn.functional.binary_cross_entropy_with_logits(logits, labels[start : start + 32]).backward()
            optimizer.step()
    return network.eval()


def checked(stages: list, cells: tuple[int, int]) -> dict:
    """The content of sanity.json."""
    names = tuple(f"{i}.png" for i in range(len(stages[0].correlations)))
    blocks = tuple((stage.block, stage.random) for stage in stages)
    correlations = tuple(stage.correlations for stage in stages)
    return summary_of(CheckedMaps(names, ("Mass",) * len(names), cells, blocks, correlations), {})


def test_rank_correlation_is_scipys() -> None:
    draw = np.random.default_rng(4)
    pairs = [
        (draw.normal(size=shape), draw.normal(size=shape)) for shape in [(2, 2), (7, 7), (1, 3), (14, 14)] for _ in "ab"
    ]
    pairs += [(np.maximum(one, 0), np.maximum(other - 0.7, 0)) for one, other in pairs[4:6] + pairs[12:]]
    pairs += [(draw.integers(0, 3, (5, 5)), draw.integers(0, 2, (5, 5))) for _ in range(5)]
    one = draw.normal(size=(6, 6))
    pairs += [(one, np.exp(one)), (one, -one), (one, one + draw.normal(size=(6, 6)) / 3)]
    for one, other in pairs:
        one, other = one.astype(np.float32), other.astype(np.float32)
        wanted = spearmanr(one.ravel(), other.ravel()).statistic
        assert rank_correlation(one, other) == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("other", [np.zeros((3, 3)), np.full((3, 3), np.inf), np.array([[1.0, np.nan, 2]] * 3)])
def test_maps_without_ranks_have_no_correlation(other: np.ndarray) -> None:
    one = np.arange(9, dtype=np.float32).reshape(3, 3)
    assert rank_correlation(one, other.astype(np.float32)) is None
    assert rank_correlation(other.astype(np.float32), one) is None


@pytest.mark.parametrize(
    "name", ["resnet50", "densenet121", "googlenet", "efficientnet_b0", "convnext_tiny", "small_cnn"]
)
def test_weights_become_those_of_the_fresh_network_from_the_head_down(name: str) -> None:
    network, fresh = build(name, 3, seed=1), build(name, 3, seed=2)
    for one in network.state_dict().values():
        one.copy_(torch.randn(one.shape) if one.is_floating_point() else torch.full(one.shape, 7))
    before = {key: value.clone() for key, value in network.state_dict().items()}
    head, wanted = head_name(network), fresh.state_dict()
    shares = []
    for number, (_, share) in enumerate(randomised(network, fresh)):
        shares.append(share)
        same = {key for key, value in network.state_dict().items() if torch.equal(value, wanted[key])}
        kept = {key for key, value in network.state_dict().items() if torch.equal(value, before[key])}
        if number == 0 and name != "small_cnn":  # whose dense layers are a block of their own
            top = head.split(".")[0]
            assert same == {key for key in wanted if key.split(".")[0] == top}
            assert kept == set(wanted) - same
        assert same | kept == set(wanted)
    assert same == set(wanted)
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1)
    assert len(shares) >= 5


@pytest.mark.parametrize("method", ["gradcam", "gradcam++"])
def test_correlations_are_those_of_maps_made_apart(method: str) -> None:
    """The same by other means: networks put together by hand, a Grad-CAM of each, and SciPy."""
    name, images = "efficientnet_b0", torch.randn(3, 3, 128, 128, generator=torch.Generator().manual_seed(2)) * 50
    first, other = build(name, 2, seed=1).eval(), build(name, 2, seed=2).eval()
    layer, plus_plus = architecture(name).last_conv, method == "gradcam++"
    below = copy.deepcopy(first)
    below.classifier.load_state_dict(other.classifier.state_dict())
    maps = []
    for network in (first, below, other):
        with GradCam(copy.deepcopy(network), layer, plus_plus=plus_plus) as cam:
            cam.logits(images)
            maps.append(cam.maps([0, 1, 2], [1, 0, 1]))
    stages = compare_maps(
        copy.deepcopy(first), other, layer, [images[:2], images[2:]], [[1, 0], [1]], plus_plus=plus_plus
    )
    for stage, found in ((stages[0], maps[1]), (stages[-1], maps[2])):
        wanted = [spearmanr(a.ravel(), b.ravel()).statistic for a, b in zip(maps[0], found, strict=True)]
        assert [math.nan if each is None else each for each in stage.correlations] == pytest.approx(
            wanted, abs=0.02, nan_ok=True
        )
    assert any(each is not None for stage in stages for each in stage.correlations)
    assert stages[0].block == "classifier"


def test_maps_of_a_trained_network_fall(trained: nn.Module) -> None:
    images, labels = bars(40, 2)
    shown = images[labels[:, 0] == 1]
    stages = compare_maps(copy.deepcopy(trained), Convolutions(100).eval(), "conv4", [shown], [[0] * len(shown)])
    assert [stage.block for stage in stages] == ["fc", "conv4", "conv3", "conv2", "conv1"]
    told = checked(stages, (8, 8))
    assert told["stages"][-1]["mean_abs_correlation"] < 0.3
    assert told["stages"][-1]["images"] > len(shown) / 2
    assert told["warning"] is None


def test_maps_that_do_not_depend_on_weights_are_warned_of() -> None:
    images, _ = bars(8, 3)
    stages = compare_maps(BrightnessAlone(1).eval(), BrightnessAlone(2).eval(), "cells", [images], [[0] * 8])
    told = checked(stages, (8, 8))
    assert [stage["mean_abs_correlation"] for stage in told["stages"]] == pytest.approx([1, 1])
    assert "still correlate by 1.00" in told["warning"]


def test_means_are_of_absolute_values_of_images_with_ranks() -> None:
    found = CheckedMaps(
        ("a", "b", "c"), ("Mass",) * 3, (7, 7), (("fc", 0.1), ("conv", 1.0)), ((-0.5, None, 0.3), (None,) * 3)
    )
    told = summary_of(found, {"seed": 4})
    assert [(each["mean_abs_correlation"], each["images"]) for each in told["stages"]] == [
        (pytest.approx(0.4), 2),
        (None, 0),
    ]
    assert told["seed"] == 4
    assert told["warning"] is None
    assert "nothing to compare" in in_words(told)


def test_what_chance_gives_is_the_mean_of_random_maps() -> None:
    draw = np.random.default_rng(5)
    pairs = draw.normal(size=(4000, 2, 49))
    wanted = np.mean([abs(spearmanr(one, other).statistic) for one, other in pairs])
    told = summary_of(CheckedMaps(("a",), ("Mass",), (7, 7), (("fc", 1.0),), ((0.1,),)), {})
    assert told["by_chance"] == pytest.approx(wanted, rel=0.03)


def test_coarse_maps_are_not_warned_of_for_what_chance_gives() -> None:
    images = tuple("abcde"), ("Mass",) * 5
    told = summary_of(CheckedMaps(*images, (2, 2), (("fc", 1.0),), ((0.8,) * 5,)), {})
    assert told["warning"] is None
    assert "too coarse" in in_words(told)
    assert summary_of(CheckedMaps(*images, (7, 7), (("fc", 1.0),), ((0.8,) * 5,)), {})["warning"]
