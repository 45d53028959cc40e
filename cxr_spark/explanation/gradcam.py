"""Grad-CAM and Grad-CAM++: where in an image the evidence for an output lies. Pure torch.

    map = ReLU(sum over channels k of a_k A_k)

With g_k = d(logit) / d(A_k), Grad-CAM (Selvaraju et al., ICCV 2017) has a_k = mean over positions of g_k. Grad-CAM++
(Chattopadhay et al., WACV 2018, arXiv:1710.11063) weighs positions, so that several places of one finding count:

    a_k = sum over positions of ReLU(g_k) g_k^2 / (2 g_k^2 + g_k^3 sum over positions of A_k)

The paper takes the exponential of the logit for the score, which multiplies a whole map by one number: it is left out.

A is the output of the last layer that is still a map over the image. One forward pass serves the probabilities, the
Grad-CAM of any number of outputs and the maps of other layers. Layers before that one keep nothing for the gradients.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from cxr_spark.models._torchvision import ops


class GradCam:
    """Computes the Grad-CAM of a network. It is a context manager: leaving it removes its hooks from the network.

    Args:
        module: the network, in evaluation mode. Its parameters are frozen.
        layer: the dotted name of the layer whose output is A: see `as_map` for the shapes that it may have.
        plus_plus: whether the maps are those of Grad-CAM++.
        also: the dotted names of other layers whose outputs are wanted. Where a layer is used more than once, its last
            output is taken.
    """

    def __init__(self, module: nn.Module, layer: str, *, plus_plus: bool = False, also: Sequence[str] = ()) -> None:
        self._module = module.requires_grad_(False)
        self._layer = layer
        self._weights = weights_plus_plus if plus_plus else mean_weights
        self._also = tuple(also)
        self._hooks = ExitStack()
        self._activation: Tensor | None = None
        self._logits: Tensor | None = None
        self.features: dict[str, Tensor] = {}

    def __enter__(self) -> GradCam:
        for name in self._also:
            self._hook(name, self._keep(name))
        self._hook(self._layer, self._cut)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._hooks.close()
        self._activation = self._logits = None
        self.features = {}

    def _hook(self, name: str, hook: Any) -> None:
        handle = self._module.get_submodule(name).register_forward_hook(hook)
        self._hooks.callback(handle.remove)

    def _keep(self, name: str) -> Any:
        turned = name in layers_with_channels_last(self._module)

        def keep(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
            found = output.permute(0, 3, 1, 2) if turned else as_map(output) if output.ndim == 4 else output
            self.features[name] = found.detach().clone()  # the next layer may overwrite it in place

        return keep

    def _cut(self, _module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
        """Starts the graph of the gradients at this layer.

        The network goes on with the same tensor that is kept. So a ReLU that works in place and is no layer of its own,
        as DenseNet has it, belongs to A. Then Grad-CAM equals the plain class activation map where pooling and one
        linear layer follow.
        """
        self._activation = output.detach().requires_grad_().clone()
        return self._activation

    def logits(self, images: Tensor) -> Tensor:
        """Runs the network.

        Args:
            images: the network's input (N, 3, H, W).

        Returns:
            The logits, float32 (N, K), without gradients. `features` then holds the outputs of the other wanted layers.
        """
        with torch.enable_grad():
            self._logits = self._module(images)
        return self._logits.detach().float()

    def maps(self, rows: Sequence[int], outputs: Sequence[int]) -> NDArray[np.float32]:
        """Computes the maps of one output for each of some images of the last batch.

        Args:
            rows: the numbers of the images in the batch, each at most once.
            outputs: the number of the output for each of these images.

        Returns:
            float32 (len(rows), h, w), not negative; those of Grad-CAM are in the units of the logit. A map of zeros
            means that nothing in the image is evidence for the output.

        Raises:
            ValueError: `logits` was not called before.
        """
        if self._logits is None or self._activation is None:
            raise ValueError("run logits() on a batch first")
        index = torch.as_tensor(rows, device=self._logits.device)
        chosen = self._logits[index, torch.as_tensor(outputs, device=self._logits.device)]
        # In evaluation mode images do not depend on each other, so the gradient of the sum holds the gradient of each.
        (gradient,) = torch.autograd.grad(chosen.sum(), self._activation, retain_graph=True)
        skipped = int(getattr(self._module, "num_prefix_tokens", 0))
        activation = as_map(self._activation.detach()[index], skipped)
        weights = self._weights(as_map(gradient[index], skipped), activation)
        maps = functional.relu((weights * activation).sum(dim=1))
        return maps.float().cpu().numpy()


def mean_weights(gradient: Tensor, _activation: Tensor) -> Tensor:
    """Returns the weights of channels by Grad-CAM, (N, C, 1, 1), from gradients (N, C, h, w)."""
    return gradient.mean(dim=(2, 3), keepdim=True)


def weights_plus_plus(gradient: Tensor, activation: Tensor) -> Tensor:
    """Returns the weights of channels by Grad-CAM++, (N, C, 1, 1): the formula above, divided above and below by g_k^2.

    Args:
        gradient: the gradients of the output with respect to A, (N, C, h, w).
        activation: A, a tensor of the same shape. The formula is made for maps behind a ReLU; where the sum of another
            map is negative, 0 is taken for it, so that the denominator is never 0.
    """
    slope = functional.relu(gradient)
    whole = activation.sum(dim=(2, 3), keepdim=True).clamp(min=0)
    return (slope / (2 + slope * whole)).sum(dim=(2, 3), keepdim=True)


def as_map(output: Tensor, skipped: int = 0) -> Tensor:
    """Returns the output of a layer as a map over a square image, (N, C, h, w).

    Args:
        output: (N, C, h, w) or (N, h, w, C), or the list of patches of a vision transformer, (N, skipped + h w, C).
        skipped: how many entries of such a list, at its beginning, stand for no place in the image.
    """
    if output.ndim == 3:
        side = math.isqrt(output.shape[1] - skipped)
        return output[:, skipped:].reshape(len(output), side, side, -1).permute(0, 3, 1, 2)
    turned = output.shape[1] == output.shape[2] != output.shape[3]
    return output.permute(0, 3, 1, 2) if turned else output


def layers_with_channels_last(module: nn.Module) -> set[str]:
    """Returns the dotted names of layers that work on (N, h, w, C): ConvNeXt has some between two permutations."""
    found: set[str] = set()
    for above, block in module.named_modules():
        turned = False
        for name, layer in block.named_children() if isinstance(block, nn.Sequential) else ():
            if isinstance(layer, ops.Permute):
                turned = layer.dims == [0, 2, 3, 1]
            if turned:
                found.add(f"{above}.{name}")
    return found
