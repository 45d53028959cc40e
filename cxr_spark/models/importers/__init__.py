"""Pretrained weights of other tools, turned into the program's own form. One module a file format."""

from __future__ import annotations

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
from cxr_spark.models.timm_networks import is_timm
from cxr_spark.models.weights import Weights
from cxr_spark.storage.store import parent_and_name

_EXPECTED = "expected a .pth of torchvision or timm, a Keras .h5, a TensorFlow.js model.json or a .safetensors file"


def import_weights(uri: str, architecture_name: str) -> Weights:
    """Reads pretrained weights of any known kind; the file's content decides which, not its name.

    Args:
        uri: full URI of the file. For TensorFlow.js it is `model.json`, with its shards in the same folder.
        architecture_name: a key of `ARCHITECTURES`, or `timm/NAME`: the network that they belong to.

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
    if data.startswith(HDF5_MAGIC):
        return from_keras(read_h5(data, name), architecture_name)
    # The length of a header, which may begin as a pickle does, then JSON.
    if data[8:9] == b"{" and int.from_bytes(data[:8], "little") <= len(data):
        return _from_safetensors(data, name, architecture_name)
    if data.startswith((b"PK\x03\x04", b"\x80")):  # torch's zip files, and its pickles before 1.6
        read = from_timm if is_timm(architecture_name) else from_state_dict
        return read(
            read_pth(data, name),
            architecture_name,
            what=name,
            source_kind="torchvision",
            source_sha256=tensor_files.sha256(data),
        )
    if data.lstrip()[:1] == b"{":
        return from_keras(read_tfjs(store, name, data, name), architecture_name)
    raise DataError(f"{uri} ({len(data):,} bytes) is no file of weights: {_EXPECTED}")


def _from_safetensors(data: bytes, name: str, architecture_name: str) -> Weights:
    """Reads one of our own files, or one of torchvision's or timm's layout."""
    tensors, note = tensor_files.from_bytes(data, name)
    if note is None:
        read = from_timm if is_timm(architecture_name) else from_state_dict
        return read(
            tensors,
            architecture_name,
            what=name,
            source_kind="safetensors",
            source_sha256=tensor_files.sha256(data),
        )
    weights = Weights.from_bytes(data, name)
    if weights.header.architecture != architecture_name:
        raise UsageError(
            f"{name} holds weights of {weights.header.architecture}: say --architecture {weights.header.architecture}"
        )
    return weights
