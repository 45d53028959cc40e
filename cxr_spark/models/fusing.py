"""Networks made faster for inference: batch norms folded into the convolutions in front of them."""

from __future__ import annotations

from itertools import pairwise

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from cxr_spark.models.timm_networks import is_timm_network


def fuse_batch_norms(network: nn.Module) -> nn.Module:
    """Folds every batch norm that directly follows a convolution into that convolution's weights.

    In evaluation mode a batch norm multiplies and shifts each channel by constants, so the function stays the same to
    rounding, and a pass over the activations is saved: a third of a ResNet-50's time on a CPU.

    Args:
        network: a network that `cxr_spark.models.architectures.build` made, in evaluation mode; it is changed. In all
            of torchvision's a batch norm that stands next to a convolution in the same block takes its output. timm's
            are left as they are, since some of theirs hold an activation, or stand in another order.

    Returns:
        The network.
    """
    if is_timm_network(network):
        return network
    for block in list(network.modules()):
        for (name, convolution), (norm_name, norm) in pairwise(list(block.named_children())):
            if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(block, name, fuse_conv_bn_eval(convolution, norm))
                setattr(block, norm_name, nn.Identity())
    return network
