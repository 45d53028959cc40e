"""Pretrained weights of other tools, turned into the program's own form. One module a file format."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from torch import Tensor

from cxr_spark.errors import DataError, UsageError
from cxr_spark.models import tensors as tensor_files
from cxr_spark.models.architectures import architecture
from cxr_spark.models.importers.keras import from_keras
from cxr_spark.models.importers.keras_h5 import MAGIC as HDF5_MAGIC
from cxr_spark.models.importers.keras_h5 import read_h5
from cxr_spark.models.importers.tfjs import read_tfjs
from cxr_spark.models.importers.timm_names import from_timm
from cxr_spark.models.importers.torchvision_pth import from_state_dict, read_pth
from cxr_spark.models.limits import MAX_FILE_BYTES
from cxr_spark.models.names import is_timm
from cxr_spark.models.weights import Weights
from cxr_spark.storage.store import parent_and_name

_EXPECTED = "expected a .pth of torchvision or timm, a Keras .h5, a TensorFlow.js model.json or a .safetensors file"


def import_weights(uri: str, architecture_name: str, grey_range: tuple[float, float] | None = None) -> Weights:
    """Reads pretrained weights of any known kind; the file's content decides which, not its name.

    Args:
        uri: full URI of the file. For TensorFlow.js it is `model.json`, with its shards in the same folder.
        architecture_name: a key of `ARCHITECTURES`, or `timm/NAME`: the network that they belong to.
        grey_range: the values of a black and a white pixel, for a network of torchvision's layout whose input has one
            channel.

    Raises:
        UsageError: no such file or architecture, or an architecture that this kind of file cannot hold.
        DataError: the file is of another kind, damaged, or of another network.
    """
    architecture(architecture_name)
    store, name = parent_and_name(uri)
    try:
        if store.size(name) > MAX_FILE_BYTES:
            raise DataError(f"{uri} has {store.size(name):,} bytes, more than the weights of any network; {_EXPECTED}")
        data = store.read_bytes(name)
    except FileNotFoundError:
        raise UsageError(f"no such file: {uri}; {_EXPECTED}") from None
    # The length of a header, which may begin as a pickle does, then JSON.
    if data[8:9] == b"{" and int.from_bytes(data[:8], "little") <= len(data):
        tensors, note = tensor_files.from_bytes(data, name)
        if note is None:
            return _by_names(tensors, architecture_name, grey_range, (name, "safetensors", data))
        _refuse_range(grey_range, name)
        return _own(data, name, architecture_name)
    if data.startswith((b"PK\x03\x04", b"\x80")):  # torch's zip files, and its pickles before 1.6
        return _by_names(read_pth(data, name), architecture_name, grey_range, (name, "torchvision", data))
    _refuse_range(grey_range, name)
    if data.startswith(HDF5_MAGIC):
        return from_keras(read_h5(data, name), architecture_name)
    if data.lstrip()[:1] == b"{":
        return from_keras(read_tfjs(store, name, data, name), architecture_name)
    raise DataError(f"{uri} ({len(data):,} bytes) is no file of weights: {_EXPECTED}")


def _by_names(
    tensors: Mapping[str, Tensor],
    architecture_name: str,
    grey_range: tuple[float, float] | None,
    source: tuple[str, Literal["torchvision", "safetensors"], bytes],
) -> Weights:
    """Takes tensors with timm's or torchvision's names.

    Args:
        tensors: the tensors.
        architecture_name: the network that they belong to.
        grey_range: the values of a black and a white pixel, for a network whose input has one channel.
        source: the file's name, kind and content.
    """
    name, kind, data = source
    sha256 = tensor_files.sha256(data)
    if is_timm(architecture_name):
        _refuse_range(grey_range, name)
        return from_timm(tensors, architecture_name, what=name, source_kind=kind, source_sha256=sha256)
    return from_state_dict(
        tensors, architecture_name, what=name, source_kind=kind, source_sha256=sha256, grey_range=grey_range
    )


def _refuse_range(grey_range: tuple[float, float] | None, name: str) -> None:
    if grey_range:
        raise UsageError(f"{name}: --grey-range is for weights with torchvision's names, in a .pth or .safetensors")


def _own(data: bytes, name: str, architecture_name: str) -> Weights:
    weights = Weights.from_bytes(data, name)
    if weights.header.architecture != architecture_name:
        raise UsageError(
            f"{name} holds weights of {weights.header.architecture}: say --architecture {weights.header.architecture}"
        )
    return weights
