"""A Keras model as read from a file: its weights by layer, and what its configuration says."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cxr_spark.errors import DataError

#: The last part of a weight's name, in Keras 1 (`conv1_W`, `bn_running_std`, which holds a variance) and since.
_ROLE = re.compile(
    r"(?:^|[/_])(kernel|W|bias|b|gamma|beta|moving_mean|running_mean|moving_variance|running_std)(?:_\d+)?(?::\d+)?$"
)
_SINCE_KERAS_2 = {"W": "kernel", "b": "bias", "running_mean": "moving_mean", "running_std": "moving_variance"}


@dataclass(frozen=True)
class KerasModel:
    """Weights and configuration of a Keras model.

    Attributes:
        what: the file's name, for messages and the record.
        kind: the kind of the file, for the record.
        sha256: the SHA-256 of the file's bytes, those of all shards included.
        layers: the arrays of each layer by their role (`kernel`, `bias`, `gamma`, `beta`, `moving_mean`,
            `moving_variance`).
        config: the class name and the configuration of each layer; empty where the file holds weights alone.
    """

    what: str
    kind: Literal["keras_h5", "tfjs"]
    sha256: str
    layers: dict[str, dict[str, NDArray[np.float32]]]
    config: dict[str, tuple[str, dict[str, Any]]] = field(default_factory=dict)

    def batch_norm_epsilon(self) -> float | None:
        """Returns the epsilon of the batch norms, or None where the file does not say.

        Raises:
            DataError: it differs between layers, or is no positive number.
        """
        found: dict[float, str] = {}
        for name, (kind, config) in self.config.items():
            if kind.startswith("BatchNormalization"):
                epsilon = config.get("epsilon", 1e-3)  # Keras's default
                if isinstance(epsilon, bool) or not isinstance(epsilon, int | float) or not 0 < epsilon < 1:
                    raise DataError(f"{self.what}: layer {name!r} has epsilon {epsilon!r}, expected a small number > 0")
                found.setdefault(float(epsilon), name)
        if len(found) > 1:
            (one, name), (other, another) = list(found.items())[:2]
            raise DataError(
                f"{self.what}: batch norm {name!r} has epsilon {one}, {another!r} has {other}: expected one for all"
            )
        return next(iter(found), None)


def role_of(weight_name: str, what: str) -> str:
    """Returns what a weight is to its layer.

    Raises:
        DataError: its name does not tell.
    """
    found = _ROLE.search(weight_name)
    if not found:
        raise DataError(f"{what}: weight {weight_name!r} is neither a kernel, a bias nor part of a batch norm")
    role = found.group(1)
    return _SINCE_KERAS_2.get(role, role)


def read_config(topology: Any, what: str) -> dict[str, tuple[str, dict[str, Any]]]:
    """Flattens a Keras `model_config` into its layers, those of models inside the model included.

    Raises:
        DataError: it is not such a configuration.
    """
    if not isinstance(topology, Mapping):
        raise DataError(f"{what}: the model's configuration is {type(topology).__name__}, expected an object")
    try:
        return dict(_layers(topology, depth=0))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{what}: the model's configuration is damaged: {type(error).__name__} {error}") from None


def _layers(model: Mapping[str, Any], depth: int) -> Iterator[tuple[str, tuple[str, dict[str, Any]]]]:
    if depth > 4:
        raise ValueError("models are nested too deep")
    config = model["config"]
    for layer in config if isinstance(config, list) else config["layers"]:
        inner = layer["config"]
        if isinstance(inner, list) or "layers" in inner:
            yield from _layers(layer, depth + 1)
        else:
            yield str(inner["name"]), (str(layer["class_name"]), inner)
