import numpy as np
import pytest
import torch
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as tvf

from cxr_spark.augmentation import kernels
from cxr_spark.errors import DataError


def images(n: int = 3, height: int = 12, width: int = 9, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, 256, (n, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_a_known_grey_pixel_becomes_blue_green_red_minus_their_means(memory_format, dtype):
    batch = torch.zeros((1, 2, 2), dtype=dtype)
    batch[0, 0, 1] = 200
    result = kernels.imagenet_bgr(batch, memory_format)
    assert result.dtype == torch.float32
    assert result.shape == (1, 3, 2, 2)
    assert result.is_contiguous(memory_format=memory_format)
    np.testing.assert_allclose(result[0, :, 0, 1], [200 - 103.939, 200 - 116.779, 200 - 123.68], rtol=1e-6)
    np.testing.assert_allclose(result[0, :, 0, 0], [-103.939, -116.779, -123.68], rtol=1e-6)


def test_a_known_colour_pixel_has_its_channels_turned_round():
    red, green, blue = 10.0, 100.0, 250.0
    batch = torch.tensor([red, green, blue]).view(1, 3, 1, 1)
    np.testing.assert_allclose(
        kernels.imagenet_bgr(batch).flatten(), [blue - 103.939, green - 116.779, red - 123.68], rtol=1e-6
    )


@pytest.mark.parametrize("shape", [(4, 4), (1, 1, 4, 4), (1, 4, 4, 3)])
def test_imagenet_bgr_refuses_other_shapes(shape):
    with pytest.raises(DataError, match=r"expected \(N, H, W\) grey"):
        kernels.imagenet_bgr(torch.zeros(shape))


def test_every_grey_value_comes_back_from_bgr():
    batch = torch.arange(256, dtype=torch.uint8).view(1, 16, 16)
    assert torch.equal(kernels.grey_from_bgr(kernels.imagenet_bgr(batch)), batch)
    assert kernels.grey_from_bgr(torch.zeros((0, 3, 4, 4))).shape == (0, 4, 4)


def test_grey_from_bgr_refuses_what_is_not_grey_minus_the_means():
    good = kernels.imagenet_bgr(images())
    with pytest.raises(DataError, match="three channels"):
        kernels.grey_from_bgr(torch.randn(good.shape))
    with pytest.raises(DataError, match="three channels"):
        kernels.grey_from_bgr(good.flip(1))  # RGB by mistake
    with pytest.raises(DataError, match="three channels"):
        kernels.grey_from_bgr(torch.full_like(good, float("nan")))
    with pytest.raises(DataError, match="expected 0 to 255"):
        kernels.grey_from_bgr(good + 300)
    with pytest.raises(DataError, match="floating point"):
        kernels.grey_from_bgr(images())


@pytest.mark.parametrize(("dim", "theirs"), [(-1, tvf.hflip), (-2, tvf.vflip)])
def test_flip_mirrors_the_chosen_images_alone(dim, theirs):
    batch = images()
    result = kernels.flip(batch, torch.tensor([True, False, True]), dim)
    assert torch.equal(result[[0, 2]], theirs(batch[[0, 2]]))
    assert torch.equal(result[1], batch[1])
    assert torch.equal(batch, images())
    assert torch.equal(kernels.flip(batch, torch.zeros(3, dtype=torch.bool), dim), batch)


@pytest.mark.parametrize("size", [(8, 9), (5, 4), (12, 9), (7, 3)])
def test_center_crop_keeps_the_middle(size):
    height, width = size
    top, left = (12 - height) // 2, (9 - width) // 2
    expected = images().numpy()[:, top : top + height, left : left + width]
    np.testing.assert_array_equal(kernels.center_crop(images(), height, width), expected)


def test_random_crop_cuts_each_window_where_it_was_told():
    offsets = np.array([[0, 0], [4, 3], [2, 1]])
    result = kernels.random_crop(images(), offsets, 8, 6).numpy()
    for i, (top, left) in enumerate(offsets):
        np.testing.assert_array_equal(result[i], images()[i, top : top + 8, left : left + 6])


@pytest.mark.parametrize("crop", [(13, 9), (12, 10)])
def test_a_crop_larger_than_the_image_is_refused(crop):
    with pytest.raises(DataError, match="cannot crop"):
        kernels.center_crop(images(), *crop)
    with pytest.raises(DataError, match="cannot crop"):
        kernels.random_crop(images(), np.zeros((3, 2), dtype=np.int64), *crop)


def test_affine_shows_the_pixel_that_the_matrix_points_at():
    batch = images()
    shift_right_by_2 = np.array([[[1.0, 0, -2], [0, 1, 0]]] * 3)
    moved = kernels.affine(batch, shift_right_by_2)
    assert moved.dtype == torch.uint8
    assert torch.equal(moved[:, :, 2:], batch[:, :, :-2])
    assert not moved[:, :, :2].any(), "black comes in from outside"


def test_affine_equals_torchvision_on_an_image_that_is_not_square():
    batch = images(height=20, width=31).float()
    angle = 25.0
    c, s = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    result = kernels.affine(batch, np.array([[[c, s, 0], [-s, c, 0]]] * 3))
    expected = tvf.affine(
        batch, angle=angle, translate=[0, 0], scale=1.0, shear=[0.0, 0.0], interpolation=InterpolationMode.BILINEAR
    )
    torch.testing.assert_close(result, expected, atol=2e-3, rtol=0)


def test_brightness_multiplies_rounds_and_clamps():
    batch = torch.tensor([[[0, 101, 200]], [[0, 101, 200]]], dtype=torch.uint8)
    result = kernels.scale_brightness(batch, np.array([1.5, 0.5]))
    assert result.dtype == torch.uint8
    assert result.tolist() == [[[0, 152, 255]], [[0, 50, 100]]]  # 151.5 and 50.5 round to even
