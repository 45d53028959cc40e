"""The networks that can be trained: torchvision's, with the classifier replaced and auxiliary heads left out."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torchvision import models

from cxr_spark.errors import ConfigError
from cxr_spark.models.compiler import no_cache_folder
from cxr_spark.models.head import Head
from cxr_spark.models.small_cnn import SmallCNN

#: Methods of tensors that initialisers of networks call.
_DRAWS = (torch.Tensor.normal_, torch.Tensor.uniform_)


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


def architecture(name: str) -> Architecture:
    """Looks an architecture up.

    Raises:
        ConfigError: there is none of that name.
    """
    if name not in ARCHITECTURES:
        near = difflib.get_close_matches(name, ARCHITECTURES, n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise ConfigError(f"unknown architecture {name!r}{hint}: expected one of {', '.join(ARCHITECTURES)}")
    return ARCHITECTURES[name]


def build(
    name: str,
    n_outputs: int,
    *,
    dropout: float = 0.0,
    hidden: Sequence[int] = (),
    batch_norm_epsilon: float | None = None,
    seed: int = 0,
) -> nn.Module:
    """Makes a network with random weights.

    It takes float32 ImageNet-mean BGR images (N, 3, H, W): 0 to 255 less (103.939, 116.779, 123.68), and gives
    float32 logits (N, n_outputs).

    Args:
        name: a key of `ARCHITECTURES`.
        n_outputs: number of logits.
        dropout: probability of every dropout layer in front of the classifier; one is added to networks without any.
        hidden: widths of extra fully connected layers (with ReLU) before the outputs.
        batch_norm_epsilon: epsilon of all batch norms; None keeps the architecture's own. Imported weights record
            the one that they were trained with.
        seed: the same seed gives the same weights; the global random generator is left as it was.

    Raises:
        ConfigError: unknown architecture, or an argument out of range.
    """
    if n_outputs < 1:
        raise ConfigError(f"a network needs at least one output, got {n_outputs}")
    if not 0.0 <= dropout < 1.0:
        raise ConfigError(f"model.dropout {dropout!r} is out of range: expected 0 <= dropout < 1")
    if any(width < 1 for width in hidden):
        raise ConfigError(f"model.hidden {list(hidden)!r} has a width below 1")
    if batch_norm_epsilon is not None and not (math.isfinite(batch_norm_epsilon) and batch_norm_epsilon > 0):
        raise ConfigError(f"batch_norm_epsilon {batch_norm_epsilon!r} is out of range: expected a number above 0")
    spec = architecture(name)
    with torch.random.fork_rng(devices=[]):
        # Not torch.manual_seed: that would seed the accelerators' generators as well.
        torch.default_generator.manual_seed(seed)
        network = spec.create()
        own_dropouts = [m for m in network.modules() if isinstance(m, nn.Dropout)]
        in_features = cast(nn.Linear, network.get_submodule(spec.classifier)).in_features
        extra_dropout = dropout if hidden or not own_dropouts else 0.0
        network.set_submodule(spec.classifier, Head(in_features, n_outputs, hidden=hidden, dropout=extra_dropout))
    for layer in own_dropouts:
        layer.p = dropout
    if batch_norm_epsilon is not None:
        for module in batch_norms(network):
            module.eps = batch_norm_epsilon
    return network


class _NoDraws(TorchFunctionMode):
    """Leaves weights as they are where they would be drawn.

    There is nothing to draw into on the meta device, and torch imports its compiler for a draw there.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func in _DRAWS or getattr(func, "__module__", None) == nn.init.__name__:
            return args[0] if args else (kwargs or {})["tensor"]
        return func(*args, **(kwargs or {}))


def build_empty(
    name: str,
    n_outputs: int,
    *,
    dropout: float = 0.0,
    hidden: Sequence[int] = (),
    batch_norm_epsilon: float | None = None,
) -> nn.Module:
    """Makes a network without storage (on the meta device): shapes to check weights by, or to load them into.

    Random initialisation takes longer than reading the weights that would replace it. Arguments and errors as `build`.
    """
    with no_cache_folder(), torch.device("meta"), _NoDraws():
        return build(name, n_outputs, dropout=dropout, hidden=hidden, batch_norm_epsilon=batch_norm_epsilon)


def batch_norms(module: nn.Module) -> list[nn.modules.batchnorm._BatchNorm]:
    """Returns the batch norm layers of a network, in its order."""
    return [m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]


def batch_norm_epsilon_of(module: nn.Module) -> float | None:
    """Returns the epsilon that all batch norms of a network share; None if it has none."""
    return next((m.eps for m in batch_norms(module)), None)
