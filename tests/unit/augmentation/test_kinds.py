import pickle

import numpy as np
import pytest
import torch
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as tvf

from cxr_spark.augmentation import building as aug
from cxr_spark.augmentation import kernels
from cxr_spark.augmentation.draws import image_keys
from cxr_spark.augmentation.erasing import Erasing
from cxr_spark.augmentation.kinds import Affine, Brightness, Crop, HorizontalFlip, VerticalFlip
from cxr_spark.augmentation.trivial import Trivial
from cxr_spark.errors import ConfigError, DataError

ALL = [
    HorizontalFlip(p=0.3),
    VerticalFlip(p=0.3),
    Crop(size=10),
    Affine(degrees=10, shift=0.1, shear=5, zoom=(0.8, 1.2)),
    Brightness(factor=0.4),
    Erasing(p=0.6, area=(0.1, 0.4), value=7),
    Trivial(),
]


def batch(n: int = 64, height: int = 16, width: int = 13) -> torch.Tensor:
    return torch.randint(0, 256, (n, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


KEYS = image_keys(f"{i}.png" for i in range(64))


def test_flip_rate_is_p_and_varies_from_epoch_to_epoch():
    keys = image_keys(str(i) for i in range(10_000))
    marked = torch.tensor([0, 255], dtype=torch.uint8).expand(10_000, 1, 2)
    flips = [HorizontalFlip(p=0.3)(marked, keys, seed=0, epoch=e)[:, 0, 0] == 255 for e in range(2)]
    for flipped in flips:
        assert abs(flipped.float().mean() - 0.3) < 0.02  # 4 standard errors
    # Independent epochs: both flipped in p * p of the images.
    assert abs((flips[0] & flips[1]).float().mean() - 0.09) < 0.012
    assert not HorizontalFlip(p=0)(marked, keys, 0, 0)[:, 0, 0].any()
    assert HorizontalFlip(p=1)(marked, keys, 0, 0)[:, 0, 0].all()


@pytest.mark.parametrize("augmentation", ALL, ids=lambda a: a.name)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_an_image_is_changed_the_same_way_in_any_batch_and_keeps_its_dtype(augmentation, dtype):
    images = batch().to(dtype)
    whole = augmentation(images, KEYS, seed=3, epoch=4)
    assert whole.dtype == dtype
    assert whole.shape[1:] == augmentation.output_size((16, 13))
    order = torch.randperm(64, generator=torch.Generator().manual_seed(0))
    parts = [augmentation(images[part], KEYS[part.numpy()], 3, 4) for part in order.split(10)]
    torch.testing.assert_close(torch.cat(parts), whole[order])
    assert torch.equal(images, batch().to(dtype)), "the input is left alone"
    assert not torch.equal(whole, augmentation(images, KEYS, seed=3, epoch=5))
    assert not torch.equal(whole, augmentation(images, KEYS, seed=4, epoch=4))


@pytest.mark.parametrize("augmentation", ALL, ids=lambda a: a.name)
def test_an_empty_batch_and_a_batch_at_odds_with_its_keys(augmentation):
    assert augmentation(batch()[:0], KEYS[:0], 0, 0).shape == (0, *augmentation.output_size((16, 13)))
    with pytest.raises(DataError, match=r"\(64, 16, 13\) with 63 keys"):
        augmentation(batch(), KEYS[:-1], 0, 0)


def test_crops_are_windows_of_the_image_at_every_place():
    image = torch.arange(15 * 14, dtype=torch.uint8).view(1, 15, 14)
    keys = image_keys(str(i) for i in range(2_000))
    crops = Crop(size=13)(image.expand(2_000, -1, -1), keys, 0, 0)
    corners, counts = torch.unique(crops[:, 0, 0], return_counts=True)
    assert corners.tolist() == [0, 1, 14, 15, 28, 29]  # 3 x 2 places
    assert counts.min() > 2_000 / 6 * 0.8
    for crop in crops[:20]:
        top, left = divmod(int(crop[0, 0]), 14)
        assert torch.equal(crop, image[0, top : top + 13, left : left + 13])


def test_without_draws_a_random_crop_is_the_middle_one_and_the_rest_is_nothing():
    result = aug.without_draws(batch(), ALL)
    assert torch.equal(result, batch()[:, 3:13, 1:11])
    assert aug.output_size(ALL, (16, 13)) == (10, 10)
    with pytest.raises(DataError, match="cannot crop 10 x 10 out of images of 9 x 9"):
        Crop(size=10)(batch(height=9, width=9), KEYS, 0, 0)


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        # numbers: rotation, shift x, shift y, shear, zoom, each in [0, 1); expected: torchvision's arguments.
        ([0.75, 0.5, 0.5, 0.5, 0.5], {"angle": 15, "translate": [0, 0], "scale": 1.0, "shear": [0, 0]}),
        ([0.5, 0.75, 0.25, 0.5, 0.5], {"angle": 0, "translate": [4, -3], "scale": 1.0, "shear": [0, 0]}),
        ([0.5, 0.5, 0.5, 0.75, 0.5], {"angle": 0, "translate": [0, 0], "scale": 1.0, "shear": [10, 0]}),
        ([0.5, 0.5, 0.5, 0.5, 0.0], {"angle": 0, "translate": [0, 0], "scale": 0.8, "shear": [0, 0]}),
        ([0.75, 0.75, 0.25, 0.75, 0.75], {"angle": 15, "translate": [4, -3], "scale": 1.1, "shear": [10, 0]}),
    ],
)
def test_affine_equals_torchvision(numbers, expected):
    augmentation = Affine(degrees=30, shift=0.2, shear=20, zoom=(0.8, 1.2))
    images = batch(2, height=30, width=40).float()
    matrices = augmentation.matrices(np.array([numbers] * 2), 30, 40)
    ours = kernels.affine(images, matrices)
    theirs = tvf.affine(images, interpolation=InterpolationMode.BILINEAR, **expected)
    torch.testing.assert_close(ours, theirs, atol=5e-3, rtol=0)


def test_affine_without_ranges_leaves_the_image_alone():
    assert torch.equal(Affine()(batch(), KEYS, 0, 0), batch())


def test_brightness_stays_within_its_range():
    images = torch.full((64, 1, 1), 100.0)
    factors = Brightness(factor=0.25)(images, KEYS, 0, 0).flatten() / 100
    assert 0.75 <= factors.min() < 0.8
    assert 1.2 < factors.max() <= 1.25


def test_two_of_a_kind_in_a_list_draw_independently():
    twice = aug.from_config(["random_horizontal_flip", {"random_horizontal_flip": {"p": 0.5}}])
    assert [a.stream for a in twice] == [0, 1]
    result = aug.augment(batch(), twice, KEYS, 0, 0)
    first, second = (a(batch(), KEYS, 0, 0) for a in twice)
    assert not torch.equal(first, second)
    assert not torch.equal(result, batch())


@pytest.mark.parametrize("augmentation", ALL, ids=lambda a: a.name)
def test_json_and_pickle_bring_back_the_same(augmentation):
    assert aug.from_json(augmentation.to_json()) == augmentation
    assert pickle.loads(pickle.dumps(augmentation)) == augmentation


def test_from_config_takes_names_settings_and_defaults():
    entries = [
        "random_horizontal_flip",
        {"random_crop": {"size": 200}},
        {"random_brightness": None},
        {"random_affine": {"degrees": 5, "zoom": [0.9, 1.1]}},
    ]
    assert aug.from_config(entries) == [
        HorizontalFlip(),
        Crop(size=200),
        Brightness(),
        Affine(degrees=5, zoom=(0.9, 1.1)),
    ]
    assert aug.from_config([]) == []


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([{"random_horizontal_flip": {"p": 1.5}}], r"random_horizontal_flip\.p is 1\.5: .*less than or equal to 1"),
        ([{"random_horizontal_flip": {"p": float("nan")}}], r"random_horizontal_flip\.p is nan"),
        ([{"random_horizontal_flip": {"p": "half"}}], r"random_horizontal_flip\.p is 'half': .*number"),
        ([{"random_horizontal_flip": {"p": True}}], r"random_horizontal_flip\.p is True: .*number"),
        ([{"random_horizontal_flip": {"rate": 1}}], "random_horizontal_flip has no setting 'rate': expected some of p"),
        ([{"random_horizontal_flip": {"stream": 1}}], "expected a name, or one name with its settings"),
        ([{"random_horizontal_flip": {1: 2}}], "has no setting"),
        ([{"random_affine": {"zoom": [1.2, 0.8]}}], r"random_affine\.zoom is .*the smaller first"),
        ([{"random_affine": {"zoom": [0, 1]}}], "above 0"),
        ([{"random_affine": {"zoom": 1}}], r"random_affine\.zoom is 1"),
        ([{"random_erasing": {"area": [0.5, 0.2]}}], r"random_erasing\.area is .*the smaller first"),
        ([{"random_erasing": {"area": [0.5, 1.0]}}], r"random_erasing\.area is .*between 0 and 1"),
        ([{"random_erasing": {"ratio": [0, 1]}}], r"random_erasing\.ratio is .*above 0"),
        ([{"random_erasing": {"value": 256}}], r"random_erasing\.value is 256"),
        ([{"trivial_augment": {"shear": 90}}], r"trivial_augment\.shear is 90"),
        ([{"random_crop": {"size": 0}}], r"random_crop\.size is 0"),
        ([{"random_crop": {"size": 10.5}}], r"random_crop\.size is 10\.5"),
        (
            ["random_horizontal_flp"],
            r"unknown augmentation 'random_horizontal_flp' \(did you mean random_horizontal_flip\?",
        ),
        ([{7: {}}], "unknown augmentation 7"),
        ([{"a": 1, "b": 2}], "expected a name, or one name"),
        ([3], "expected a name, or one name"),
        ({"random_horizontal_flip": {}}, "expected a list"),
        ("random_horizontal_flip", "expected a list"),
    ],
)
def test_from_config_refuses_and_says_what_was_expected(entries, message):
    with pytest.raises(ConfigError, match=message):
        aug.from_config(entries)


@pytest.mark.parametrize("text", ["", "[]", "3", "{}", '{"name": "os.system"}', '{"name": ["x"]}'])
def test_from_json_refuses_what_it_did_not_write(text):
    with pytest.raises(ConfigError):
        aug.from_json(text)
