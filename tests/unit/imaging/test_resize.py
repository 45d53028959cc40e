"""Resizing against plain numpy area means and linear interpolation, and against OpenCV."""

import cv2
import numpy as np
import pytest

from cxr_spark.imaging.prepare import prepare_image
from cxr_spark.imaging.rejected import ImageRejected
from cxr_spark.imaging.resize import MODES, resize

RNG = np.random.default_rng(11)


def noise(height, width):
    return RNG.integers(0, 256, (height, width), dtype=np.uint8)


def area_axis(values, size):
    """Means over areas along axis 0, by exact overlaps of the source cells with the target cells."""
    n = values.shape[0]
    edges = np.arange(size + 1) * (n / size)
    cells = np.arange(n)
    overlap = np.minimum(edges[1:, None], cells + 1) - np.maximum(edges[:-1, None], cells)
    weights = np.clip(overlap, 0, None)
    return (weights / weights.sum(axis=1, keepdims=True)) @ values


def linear_axis(values, size):
    """Linear interpolation along axis 0 between pixel centres, clamped at the borders."""
    n = values.shape[0]
    at = np.clip((np.arange(size) + 0.5) * (n / size) - 0.5, 0, n - 1)
    low = np.floor(at).astype(int)
    high = np.minimum(low + 1, n - 1)
    part = (at - low)[:, None]
    return values[low] * (1 - part) + values[high] * part


@pytest.mark.parametrize(("height", "width", "size"), [(1024, 1024, 224), (64, 96, 32), (300, 257, 100)])
def test_shrinking_is_the_mean_over_areas(height, width, size):
    image = noise(height, width)
    expected = area_axis(area_axis(image.astype(float), size).T, size).T
    assert np.abs(resize(image, size) - expected).max() <= 0.51


@pytest.mark.parametrize(("height", "width", "size"), [(64, 64, 224), (31, 50, 64)])
def test_growing_is_linear(height, width, size):
    image = noise(height, width)
    expected = linear_axis(linear_axis(image.astype(float), size).T, size).T
    assert np.abs(resize(image, size) - expected).max() <= 1


def test_one_axis_shrinks_the_other_grows():
    """OpenCV's INTER_AREA alone would interpolate linearly in both, and skip most rows here."""
    image = noise(500, 20)
    expected = linear_axis(area_axis(image.astype(float), 50).T, 50).T
    assert np.abs(resize(image, 50) - expected).max() <= 1.51


@pytest.mark.parametrize("mode", MODES)
def test_same_size_is_untouched(mode):
    image = noise(48, 48)
    assert np.array_equal(resize(image, 48, mode), image)


def test_shrinking_equals_opencv():
    image = noise(1024, 1024)
    assert np.array_equal(resize(image, 224), cv2.resize(image, (224, 224), interpolation=cv2.INTER_AREA))


def test_pad_keeps_the_aspect_ratio_on_black():
    image = np.full((100, 50), 200, dtype=np.uint8)
    square = resize(image, 40, "pad")
    assert (square[:, 10:30] == 200).all()
    assert (square[:, :10] == 0).all()
    assert (square[:, 30:] == 0).all()
    assert np.array_equal(resize(image.T, 40, "pad"), square.T)


def test_crop_cuts_the_middle_square():
    image = noise(90, 60)
    middle = image[15:75]
    assert np.array_equal(resize(image, 30, "crop"), cv2.resize(middle, (30, 30), interpolation=cv2.INTER_AREA))
    assert np.array_equal(resize(np.ascontiguousarray(image.T), 60, "crop"), middle.T)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shape", [(1, 1), (1, 3000), (3000, 1), (7, 5)])
def test_extreme_shapes(mode, shape):
    square = resize(noise(*shape), 32, mode)
    assert square.shape == (32, 32)
    assert square.dtype == np.uint8
    assert square.flags.c_contiguous


def test_unknown_mode():
    with pytest.raises(ValueError, match="'stretch'"):
        resize(noise(4, 4), 2, "stretch")


def test_prepare_image_gives_pixels_and_the_original_size():
    image = noise(120, 80)
    data = cv2.imencode(".png", image)[1].tobytes()
    prepared = prepare_image(data, 64, "pad")
    assert (prepared.height, prepared.width) == (120, 80)
    assert np.array_equal(prepared.pixels, resize(image, 64, "pad"))
    with pytest.raises(ImageRejected):
        prepare_image(data[:-20], 64)


def test_real_images_equal_opencv(real_data):
    """All three RGBA files of the sample among them."""
    files = sorted(real_data.glob("images_1024/*/images/*.png"))
    assert len(files) == 160
    colour_types = set()
    for file in files:
        data = file.read_bytes()
        colour_types.add(data[25])
        whole = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
        prepared = prepare_image(data, 224)
        assert (prepared.height, prepared.width) == whole.shape == (1024, 1024)
        assert np.array_equal(prepared.pixels, cv2.resize(whole, (224, 224), interpolation=cv2.INTER_AREA)), file.name
    assert colour_types == {0, 6}
