"""Keras's networks (from .h5 or TensorFlow.js) in the program's own form."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cxr_spark.errors import DataError, UsageError
from cxr_spark.models import tensors as tensor_files
from cxr_spark.models.architectures import architecture, build_empty
from cxr_spark.models.importers.fold import fold_conv_bias, fold_rgb_input
from cxr_spark.models.importers.keras_model import KerasModel
from cxr_spark.models.importers.keras_names import Naming, Pair, namings
from cxr_spark.models.weights import Weights, WeightsHeader

Array = NDArray[np.float32]

_NORM_ROLES = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}


def from_keras(model: KerasModel, architecture_name: str) -> Weights:
    """Turns the weights of one of Keras's own networks into the program's form.

    Kernels change their order of axes (height, width, in, out become out, in, height, width); biases of convolutions
    in front of a batch norm are folded into its running mean, exactly.

    Args:
        model: the Keras model that was read.
        architecture_name: a key of `ARCHITECTURES`.

    Raises:
        UsageError: Keras's form of this architecture is another network, or is not supported.
        DataError: the weights are not those of this architecture, or damaged.
    """
    spec = architecture(architecture_name)
    naming = _naming(model, architecture_name)
    _check_strides(model, naming)
    declared = model.batch_norm_epsilon()
    epsilon = naming.epsilon if declared is None else declared
    head = f"{spec.classifier}.output"
    by_layer = {pair.torch: _Layer(model, pair) for pair in naming.pairs}
    n_outputs = len(by_layer[head].array("bias", 1)) if head in by_layer else 0
    tensors: dict[str, Tensor] = {}
    for pair in naming.pairs:
        tensors |= by_layer[pair.torch].tensors()
    for pair in naming.pairs:
        bias = tensors.pop(f"{pair.torch}.bias", None) if pair.norm else None
        if bias is not None:
            name = f"{pair.norm}.running_mean"
            if tensors[name].shape != bias.shape:
                raise DataError(f"{model.what}: {pair.keras} has {len(bias)} biases, the batch norm behind it differs")
            tensors[name] = fold_conv_bias(tensors[name], bias)
    network = build_empty(architecture_name, max(n_outputs, 1), batch_norm_epsilon=epsilon)
    expected = network.state_dict()
    for name, wanted in expected.items():
        if name.endswith("num_batches_tracked"):
            tensors[name] = torch.zeros(wanted.shape, dtype=wanted.dtype)
    header = WeightsHeader(
        architecture=architecture_name,
        n_outputs=n_outputs,
        batch_norm_epsilon=epsilon,
        source=model.what,
        source_kind=model.kind,
        source_sha256=model.sha256,
    )
    Weights(header, tensors).check(model.what)
    if naming.rgb:
        tensors = fold_rgb_input(tensors, spec, spec.rgb_mean, spec.rgb_std)
    return Weights(header, tensors)


class _Layer:
    """The weights of one Keras layer, as torch wants them."""

    def __init__(self, model: KerasModel, pair: Pair) -> None:
        self._arrays = model.layers[pair.keras]
        self._pair = pair
        self._what = model.what

    def array(self, role: str, ndim: int) -> Array:
        found = self._arrays.get(role)
        if found is None:
            raise DataError(f"{self._what}: layer {self._pair.keras!r} has no {role}")
        if found.ndim != ndim:
            raise DataError(
                f"{self._what}: {self._pair.keras}/{role} has shape {list(found.shape)}, expected {ndim} axes"
            )
        tensor_files.check_values(f"{self._pair.keras}/{role}", torch.from_numpy(found.copy()), self._what)
        return found

    def tensors(self) -> dict[str, Tensor]:
        name = self._pair.torch
        if self._pair.kind == "norm":
            return {f"{name}.{torch_role}": _tensor(self.array(role, 1)) for role, torch_role in _NORM_ROLES.items()}
        if self._pair.kind == "conv":
            weights = {f"{name}.weight": _tensor(self.array("kernel", 4).transpose(3, 2, 0, 1))}
            if "bias" in self._arrays:
                weights[f"{name}.bias"] = _tensor(self.array("bias", 1))
            return weights
        return {f"{name}.weight": _tensor(self._matrix()), f"{name}.bias": _tensor(self.array("bias", 1))}

    def _matrix(self) -> Array:
        kernel = self.array("kernel", 2)
        if self._pair.flattened is not None:  # Keras flattens height, width, channels; torch channels, height, width
            height, width, channels = self._pair.flattened
            if kernel.shape[0] != height * width * channels:
                raise DataError(
                    f"{self._what}: {self._pair.keras} takes {kernel.shape[0]} values, expected {height} x {width} x "
                    f"{channels}: the network was made for another input size"
                )
            kernel = kernel.reshape(height, width, channels, -1).transpose(2, 0, 1, 3).reshape(kernel.shape)
        transposed: Array = kernel.T
        return transposed


def _tensor(array: Array) -> Tensor:
    return torch.from_numpy(np.array(array, dtype=np.float32, order="C"))


def _naming(model: KerasModel, architecture_name: str) -> Naming:
    """Finds out which of Keras's ways of naming a file uses: the one by which most layers are found."""
    ways = namings(architecture_name, set(model.layers))
    if not ways:
        hint = "; Keras's ResNet-50 is --architecture resnet50_v1" if architecture_name.startswith("resnet") else ""
        raise UsageError(
            f"{model.what} is a Keras model, and {architecture_name} cannot be imported from Keras: expected "
            f"resnet50_v1, densenet121 or vgg16{hint}"
        )
    best = min(ways, key=lambda way: sum(pair.keras not in model.layers for pair in way.pairs))
    missing = [pair.keras for pair in best.pairs if pair.keras not in model.layers]
    known = {pair.keras for pair in best.pairs}
    extra = [name for name in model.layers if name not in known]
    if missing or extra:
        parts = [f"lacks layer {missing[0]!r} and {len(missing) - 1} more"] if missing else []
        parts += [f"has layer {extra[0]!r}, which is none of its layers, and {len(extra) - 1} more"] if extra else []
        raise DataError(f"{model.what} is not Keras's {architecture_name}: it {' and '.join(parts)}")
    return best


def _check_strides(model: KerasModel, naming: Naming) -> None:
    """Refuses a ResNet whose strides are elsewhere: its weights fit, and would give nonsense."""
    if naming.strided is None or naming.strided not in model.config:
        return
    strides = model.config[naming.strided][1].get("strides")
    if strides not in ([2, 2], (2, 2), 2):
        raise DataError(
            f"{model.what}: layer {naming.strided!r} has strides {strides!r}, expected [2, 2]: this is not ResNet-50 "
            "v1, which has them on the first 1x1 convolution of a stage"
        )
