"""Exact rewriting of weights, so that every network takes ImageNet-mean BGR whatever it was trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from cxr_spark.imaging.imagenet import IMAGENET_MEAN_BGR
from cxr_spark.models.architectures import Architecture


def fold_rgb_input(
    tensors: Mapping[str, Tensor], spec: Architecture, mean: Sequence[float], std: Sequence[float]
) -> dict[str, Tensor]:
    """Rewrites a network that takes normalised RGB, (rgb / 255 - mean) / std, into one that takes ImageNet-mean BGR.

    With x the new input of a channel and m its ImageNet mean, the old input is (x + m - 255 mean) / (255 std). The
    factor goes into the first convolution. The constant adds the same value to each of its outputs, which is taken
    off the running mean of the batch norm behind it, or added to the convolution's bias where there is none.

    Exact to rounding wherever the first convolution sees no padding (nowhere does it in Inception and ConvNeXt).
    Where it does, zeros now stand for the pixel value m instead of 255 mean: for torchvision's usual mean the two
    differ by at most half a grey value of 256, for GoogLeNet (mean 0.5) by up to 24. Measured by padding the genuine
    ImageNet ResNet-50 with those values, on 24 radiographs at 224: half a grey moves the 1000 logits by 0.002 on
    average and 0.019 at most (their standard deviation is 2.6), 24 greys by 0.06 and 0.53. Training takes that up.

    Args:
        tensors: weights of the whole network; not changed.
        spec: the architecture.
        mean: the means of R, G and B, for pixels of 0 to 1.
        std: the standard deviations of R, G and B, for pixels of 0 to 1.

    Returns:
        All tensors, the rewritten ones among them.
    """
    folded = dict(tensors)
    imagenet = torch.tensor(IMAGENET_MEAN_BGR[::-1], dtype=torch.float64)
    shift = imagenet - 255 * torch.tensor(mean, dtype=torch.float64)
    scale = 255 * torch.tensor(std, dtype=torch.float64)
    kernel = tensors[f"{spec.stem}.weight"].double() / scale[:, None, None]
    offset = (kernel * shift[:, None, None]).sum((1, 2, 3))
    folded[f"{spec.stem}.weight"] = kernel.flip(1).float().contiguous()
    if spec.stem_norm:
        name = f"{spec.stem_norm}.running_mean"
        folded[name] = (tensors[name].double() - offset).float()
    else:
        name = f"{spec.stem}.bias"
        folded[name] = (tensors[name].double() + offset).float()
    return folded


def fold_grey_input(kernel: Tensor, black: float, white: float) -> Tensor:
    """Rewrites a first convolution for one channel into one for ImageNet-mean BGR of grey images.

    The old input of a pixel g is black + (white - black) g / 255, which is (white - black) / 255 (g - z), where z is
    the grey value of a zero. The three channels of the new input are g - m, with the ImageNet means m. With factors a
    that add up to 1, and whose products with the means add up to z, the sum of a (g - m) is g - z: the old input for
    all images, and zero where it was zero, so the borders, which are padded with zeros, are the same, too. Of all such
    factors the smallest are taken.

    Args:
        kernel: float32 (out, 1, h, w).
        black: the value of a black pixel in the old input.
        white: the value of a white one.

    Returns:
        float32 (out, 3, h, w), for the channels B, G, R.
    """
    means = torch.tensor(IMAGENET_MEAN_BGR, dtype=torch.float64)
    zero = -255 * black / (white - black)
    apart = means - means.mean()
    factors = 1 / 3 + apart * (zero - means.mean()) / apart.square().sum()
    wide = kernel.double() * (white - black) / 255 * factors[:, None, None]
    return wide.float().contiguous()


def fold_conv_bias(running_mean: Tensor, bias: Tensor) -> Tensor:
    """Takes the bias of a convolution off the running mean of the batch norm behind it: the same function, exactly."""
    return (running_mean.double() - bias.double()).float()
