"""Finds, reads and loads the weights that a training starts from."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence

from torch import nn

from cxr_spark.errors import ConfigError
from cxr_spark.models import tensors as tensor_files
from cxr_spark.models.architectures import architecture, batch_norm_epsilon_of
from cxr_spark.models.folder import read_model_weights
from cxr_spark.models.head import head_name
from cxr_spark.models.importers.torchvision_hub import download
from cxr_spark.models.metadata_file import METADATA_NAME
from cxr_spark.models.weights import Weights
from cxr_spark.storage.store import Store, parent_and_name, resolve

log = logging.getLogger(__name__)

_TORCHVISION_NAME = re.compile(r"^(\w+_Weights\.)?[A-Z][A-Z0-9_]*$")


def read_weights(uri: str) -> Weights:
    """Reads a weights file, on the driver, an executor or a training rank.

    Args:
        uri: a safetensors file of `import-weights`, or a model folder.

    Raises:
        ConfigError: there is nothing of the kind.
        DataError: it is damaged.
    """
    store, name = parent_and_name(uri)
    if name.endswith(".safetensors"):
        try:
            return Weights.from_bytes(store.read_bytes(name), uri)
        except FileNotFoundError:
            raise ConfigError(f"model.weights {uri!r}: no such file") from None
    folder = Store(resolve(uri))
    if folder.exists(METADATA_NAME):
        return read_model_weights(folder)
    if not store.exists(name):
        raise ConfigError(f"model.weights {uri!r}: no such file or model folder")
    raise ConfigError(
        f"model.weights {uri!r} is neither a .safetensors file nor a model folder: weights of other tools are imported "
        f"with `cxr-spark import-weights {uri} --architecture NAME --out FILE.safetensors`"
    )


def uri_of_weights(value: str, default_fs: str = "file:///") -> str | None:
    """Returns the URI that the setting `model.weights` names; None for `random` and for a torchvision name."""
    if value == "random" or _TORCHVISION_NAME.match(value):
        return None
    return resolve(value, default_fs)


def resolve_weights(value: str, architecture_name: str, *, default_fs: str = "file:///") -> Weights | None:
    """Finds, reads and checks what the setting `model.weights` names. For the driver: it may download.

    Args:
        value: `random`, a URI of imported weights or of a model folder, or a torchvision weights name such as
            `IMAGENET1K_V2`.
        architecture_name: the setting `model.architecture`.
        default_fs: what a bare path belongs to.

    Returns:
        The weights; None for `random`. Hand them to ranks and executors by `Weights.to_bytes` through a Store.

    Raises:
        ConfigError: there are no such weights, or they are of another architecture.
        DataError: they are damaged.
    """
    architecture(architecture_name)
    if value == "random":
        return None
    if _TORCHVISION_NAME.match(value):
        weights = download(value.rpartition(".")[2], architecture_name)
    else:
        weights = read_weights(resolve(value, default_fs))
    if weights.header.architecture != architecture_name:
        raise ConfigError(
            f"model.weights {value!r} are of {weights.header.architecture}, but model.architecture is "
            f"{architecture_name}: make the two agree"
        )
    return weights


def load_initial_weights(module: nn.Module, weights: Weights, *, findings: Sequence[str] | None = None) -> bool:
    """Copies pretrained weights into a network.

    Args:
        module: a network that `build` made with `batch_norm_epsilon=weights.header.batch_norm_epsilon`.
        weights: the weights that are copied.
        findings: the network's outputs. Where the weights are a model's of the same findings in the same order, and
            the heads are of one shape, its head is copied too; else the head stays as it is.

    Returns:
        Whether the head was copied.

    Raises:
        ConfigError: the epsilon of the network's batch norms differs from the one the weights were trained with.
        DataError: the network is another one.
    """
    what = f"weights of {weights.header.source}"
    epsilon = weights.header.batch_norm_epsilon
    if batch_norm_epsilon_of(module) != epsilon:
        raise ConfigError(
            f"{what} were trained with a batch norm epsilon of {epsilon}, the network has "
            f"{batch_norm_epsilon_of(module)}: build it with batch_norm_epsilon={epsilon}"
        )
    head = head_name(module) + "."
    own = module.state_dict()
    fits = {name: t for name, t in weights.tensors.items() if name.startswith(head)}
    reuse_head = (
        findings is not None
        and weights.header.findings == tuple(findings)
        and {name: t.shape for name, t in fits.items()}
        == {name: t.shape for name, t in own.items() if name.startswith(head)}
    )

    def wanted(name: str) -> bool:
        return reuse_head or not name.startswith(head)

    chosen = {name: t for name, t in weights.tensors.items() if wanted(name)}
    tensor_files.check(chosen, {name: t for name, t in own.items() if wanted(name)}, what)
    module.load_state_dict(chosen, strict=False)
    log.info("initial weights: %s, head %s", weights.header.source, "reused" if reuse_head else "new")
    return reuse_head
