"""Contrast, sharpness, erased boxes and TrivialAugment against torchvision."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import chisquare, ks_2samp
from torchvision.transforms import InterpolationMode, RandomErasing
from torchvision.transforms import functional as tvf

from cxr_spark.augmentation import values
from cxr_spark.augmentation.draws import image_keys, uniforms
from cxr_spark.augmentation.erasing import Erasing
from cxr_spark.augmentation.trivial import OPERATIONS, Trivial

FACTORS = np.array([0.0, 0.4, 1.0, 1.9])


def images(n: int = 4, height: int = 30, width: int = 22) -> torch.Tensor:
    return torch.randint(0, 256, (n, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(values.scale_contrast, tvf.adjust_contrast), (values.scale_sharpness, tvf.adjust_sharpness)],
    ids=["contrast", "sharpness"],
)
def test_contrast_and_sharpness_are_torchvisions(ours: Any, theirs: Any) -> None:
    batch = images().float()
    wanted = torch.stack([theirs(each[None] / 255, f)[0] * 255 for each, f in zip(batch, FACTORS, strict=True)])
    torch.testing.assert_close(ours(batch, FACTORS), wanted, atol=1e-3, rtol=0)
    assert torch.equal(ours(images(), FACTORS), ours(batch, FACTORS).round().to(torch.uint8))


def test_images_too_small_to_be_smoothed_stay() -> None:
    assert torch.equal(values.scale_sharpness(images(4, 2, 9), FACTORS), images(4, 2, 9))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_boxes_are_erased_as_by_torchvision(dtype: torch.dtype) -> None:
    batch = images().to(dtype)
    boxes = np.array([[0, 0, 5, 22], [3, 4, 7, 9], [29, 21, 1, 1], [0, 0, 0, 0]])
    pairs = zip(batch, boxes.tolist(), strict=True)
    wanted = [tvf.erase(each[None], *box, v=torch.tensor(9, dtype=dtype))[0] for each, box in pairs]
    assert torch.equal(values.erase(batch, boxes, 9), torch.stack(wanted))
    assert torch.equal(batch, images().to(dtype))


@pytest.mark.parametrize(("area", "ratio"), [((0.02, 0.33), (0.3, 3.3)), ((0.3, 0.9), (0.2, 4.0))])
def test_boxes_are_drawn_as_torchvision_draws_them(area: tuple[float, float], ratio: tuple[float, float]) -> None:
    """Rows, columns and sides have the same distributions, where boxes often do not fit, too."""
    count, height, width = 4000, 60, 40
    numbers = uniforms(image_keys(map(str, range(count))), Erasing.draws, seed=1, epoch=0, stage="test")
    found = Erasing(p=1, area=area, ratio=ratio).boxes(numbers, height, width)
    torch.manual_seed(5)
    image = torch.zeros(1, height, width)
    drawn = [RandomErasing.get_params(image, area, ratio, [0.0])[:4] for _ in range(count)]
    # torchvision gives the whole image where no box fits, and then paints the image over itself.
    wanted = np.array([(0, 0, 0, 0) if box[2:] == (height, width) else box for box in drawn])
    for column in range(4):
        assert ks_2samp(found[:, column], wanted[:, column]).pvalue > 1e-3
    assert (found[:, 0] + found[:, 2]).max() <= height
    assert (found[:, 1] + found[:, 3]).max() <= width


def test_as_many_images_are_erased_as_p_says() -> None:
    keys = image_keys(map(str, range(4000)))
    white = torch.full((4000, 8, 8), 255, dtype=torch.uint8)
    erased = (Erasing(p=0.3)(white, keys, 0, 0) == 0).flatten(1).any(1)
    assert abs(erased.float().mean() - 0.3) < 0.03
    assert torch.equal(Erasing(p=0)(white, keys, 0, 0), white)


def drawn(operation: str, strength: float) -> np.ndarray:
    """The three draws that ask for an operation and a strength of -1 to 1."""
    return np.array([[(OPERATIONS.index(operation) + 0.5) / len(OPERATIONS), abs(strength), float(strength >= 0)]])


def moved(batch: torch.Tensor, **arguments: Any) -> torch.Tensor:
    plain = {"angle": 0.0, "translate": [0, 0], "scale": 1.0, "shear": [0.0, 0.0], **arguments}
    return tvf.affine(batch, interpolation=InterpolationMode.BILINEAR, **plain)


@pytest.mark.parametrize("strength", [0.5, -1.0])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_each_operation_is_torchvisions(operation: str, strength: float) -> None:
    batch = images(1, 40, 40).float()
    s, unit = strength, batch / 255
    wanted = {
        "nothing": lambda: batch,
        "rotate": lambda: moved(batch, angle=20 * s),
        "shift_x": lambda: moved(batch, translate=[round(4 * s), 0]),
        "shift_y": lambda: moved(batch, translate=[0, round(4 * s)]),
        "shear_x": lambda: moved(batch, shear=[12 * s, 0.0]),
        "shear_y": lambda: moved(batch, shear=[0.0, 12 * s]),
        "brightness": lambda: tvf.adjust_brightness(unit, 1 + 0.4 * s) * 255,
        "contrast": lambda: tvf.adjust_contrast(unit, 1 + 0.4 * s) * 255,
        "sharpness": lambda: tvf.adjust_sharpness(unit, 1 + 0.9 * s) * 255,
    }[operation]()
    found = Trivial(degrees=20, shift=0.1, shear=12)._apply(batch, drawn(operation, strength))
    torch.testing.assert_close(found, wanted, atol=0.02, rtol=0)


def test_all_operations_are_as_likely_and_strengths_uniform_either_way() -> None:
    """A bright plate on black tells by its grey value what was done with it: brightness alone changes it."""
    keys = image_keys(map(str, range(9000)))
    plate = torch.full((9000, 1, 1), 100.0)
    kind = Trivial(degrees=0, shift=0, shear=0, contrast=0, sharpness=0)
    changed = (kind(plate, keys, 0, 0).flatten() / 100 - 1).numpy()
    changed = changed[np.abs(changed) > 1e-6]
    assert chisquare([len(changed), 9000 - len(changed)], [1000, 8000]).pvalue > 1e-3
    assert ks_2samp(changed, np.linspace(-0.4, 0.4, 4001)).pvalue > 1e-3
