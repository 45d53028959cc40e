"""torchvision's networks, and one of our own: how each is made, and where its first and last layers are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from torch import nn

from cxr_spark.models._torchvision import models
from cxr_spark.models.small_cnn import SmallCNN


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """What the rest of the program must know about a network.

    Attributes:
        name: the value of the setting `model.architecture`.
        create: makes the 1000-way network with random weights.
        input_size: side of the images that it was designed for, pixels.
        minimum_size: smallest side at which every layer still has an output.
        stem: dotted name of the first convolution, the one that sees the image.
        stem_norm: dotted name of the batch norm that follows it; None where the convolution has a bias instead.
        last_conv: dotted name of the last layer whose output is still a map over the image (for Grad-CAM).
        classifier: dotted name of the linear layer that the head replaces.
        rgb_mean: what torchvision's weights of this network expect to be taken off R, G, B (0 to 1) ...
        rgb_std: ... and what to divide them by then.
        sets_own_dropout: whether the dropout layers that the network has stand in front of the classifier.
    """

    name: str
    create: Callable[[], nn.Module]
    input_size: int = 224
    minimum_size: int = 32
    stem: str = "conv1"
    stem_norm: str | None = "bn1"
    last_conv: str = "layer4"
    classifier: str = "fc"
    rgb_mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    rgb_std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    sets_own_dropout: bool = True


#: torchvision's weights of these rescale the usual normalised input inside the network, to (rgb - 0.5) / 0.5.
TRANSFORMED_INPUT = ("inception_v3", "googlenet")


def _resnet50_v1() -> nn.Module:
    """ResNet-50 as He et al. published it (and Caffe and Keras have it): stride on a stage's first 1x1 convolution.

    torchvision's "v1.5" has the stride on the 3x3 convolution; shapes and names of all weights are the same.
    """
    network: nn.Module = models.resnet50()
    for stage in ("layer2", "layer3", "layer4"):
        block = cast(Any, network.get_submodule(f"{stage}.0"))
        block.conv1.stride, block.conv2.stride = (2, 2), (1, 1)
    return network


def _without_auxiliary(create: Callable[..., nn.Module]) -> Callable[[], nn.Module]:
    # transform_input would rescale the input inside the network: the importers fold it into the first convolution.
    return lambda: create(aux_logits=False, transform_input=False, init_weights=True)


ARCHITECTURES: dict[str, Architecture] = {
    a.name: a
    for a in (
        Architecture(name="resnet50", create=models.resnet50),
        Architecture(name="resnet50_v1", create=_resnet50_v1),
        Architecture(name="resnet101", create=models.resnet101),
        Architecture(
            name="densenet121",
            create=models.densenet121,
            stem="features.conv0",
            stem_norm="features.norm0",
            last_conv="features",
            classifier="classifier",
        ),
        Architecture(
            name="vgg16",
            create=models.vgg16,
            stem="features.0",
            stem_norm=None,
            last_conv="features.29",
            classifier="classifier.6",
        ),
        Architecture(
            name="inception_v3",
            create=_without_auxiliary(models.inception_v3),
            input_size=299,
            minimum_size=75,
            stem="Conv2d_1a_3x3.conv",
            stem_norm="Conv2d_1a_3x3.bn",
            last_conv="Mixed_7c",
            rgb_mean=(0.5, 0.5, 0.5),
            rgb_std=(0.5, 0.5, 0.5),
        ),
        Architecture(
            name="googlenet",
            create=_without_auxiliary(models.googlenet),
            stem="conv1.conv",
            stem_norm="conv1.bn",
            last_conv="inception5b",
            rgb_mean=(0.5, 0.5, 0.5),
            rgb_std=(0.5, 0.5, 0.5),
        ),
        Architecture(
            name="efficientnet_b0",
            create=models.efficientnet_b0,
            stem="features.0.0",
            stem_norm="features.0.1",
            last_conv="features.8",
            classifier="classifier.1",
        ),
        Architecture(
            name="convnext_tiny",
            create=models.convnext_tiny,
            stem="features.0.0",
            stem_norm=None,
            last_conv="features.7",
            classifier="classifier.2",
        ),
        Architecture(
            name="small_cnn",
            create=SmallCNN,
            input_size=300,
            minimum_size=256,
            stem="features.conv0",
            stem_norm=None,
            last_conv="features.conv7",
            classifier="classifier",
        ),
    )
}
