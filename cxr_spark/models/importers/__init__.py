"""Pretrained weights of other tools, turned into the program's own form. One module a file format."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Literal, NamedTuple

from torch import Tensor

from cxr_spark.errors import DataError, UsageError
from cxr_spark.models import tensors as tensor_files
from cxr_spark.models.architectures import architecture
from cxr_spark.models.importers.dinov2 import is_dinov2, to_timm_names
from cxr_spark.models.importers.keras import from_keras
from cxr_spark.models.importers.keras_h5 import MAGIC as HDF5_MAGIC
from cxr_spark.models.importers.keras_h5 import read_h5
from cxr_spark.models.importers.normalisation import PREPROCESSOR, Normalisation, read_preprocessor
from cxr_spark.models.importers.tfjs import read_tfjs
from cxr_spark.models.importers.timm_names import from_timm
from cxr_spark.models.importers.torchvision_pth import from_state_dict, read_pth
from cxr_spark.models.limits import MAX_FILE_BYTES
from cxr_spark.models.names import is_timm
from cxr_spark.models.weights import Weights
from cxr_spark.storage.store import Store, parent_and_name

log = logging.getLogger(__name__)

_EXPECTED = (
    "expected a .pth of torchvision, timm or DINOv2, a Keras .h5, a TensorFlow.js model.json or a .safetensors file"
)


def import_weights(
    uri: str,
    architecture_name: str,
    grey_range: tuple[float, float] | None = None,
    normalisation: Normalisation | None = None,
) -> Weights:
    """Reads pretrained weights of any known kind; the file's content decides which, not its name.

    Args:
        uri: full URI of the file. For TensorFlow.js it is `model.json`, with its shards in the same folder.
        architecture_name: a key of `ARCHITECTURES`, or `timm/NAME`: the network that they belong to.
        grey_range: the values of a black and a white pixel, for a network of torchvision's layout whose input has one
            channel.
        normalisation: the mean and std that a network of timm was trained with; default: those of its name and tag,
            and for DINOv2 of transformers those of the `preprocessor_config.json` in the same folder.

    Raises:
        UsageError: no such file or architecture, an architecture that this kind of file cannot hold, or an unknown mean
            and std.
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
            file = _NamedTensors(tensors, store, name, "safetensors", tensor_files.sha256(data))
            return _by_names(file, architecture_name, grey_range, normalisation)
        _refuse_options(grey_range, normalisation, name)
        return _own(data, name, architecture_name)
    if data.startswith((b"PK\x03\x04", b"\x80")):  # torch's zip files, and its pickles before 1.6
        file = _NamedTensors(read_pth(data, name), store, name, "torchvision", tensor_files.sha256(data))
        return _by_names(file, architecture_name, grey_range, normalisation)
    _refuse_options(grey_range, normalisation, name)
    if data.startswith(HDF5_MAGIC):
        return from_keras(read_h5(data, name), architecture_name)
    if data.lstrip()[:1] == b"{":
        return from_keras(read_tfjs(store, name, data, name), architecture_name)
    raise DataError(f"{uri} ({len(data):,} bytes) is no file of weights: {_EXPECTED}")


class _NamedTensors(NamedTuple):
    """Tensors with the names of timm, torchvision or transformers, and the file that they are from."""

    tensors: Mapping[str, Tensor]
    folder: Store
    name: str
    kind: Literal["torchvision", "safetensors"]
    sha256: str


def _by_names(
    file: _NamedTensors,
    architecture_name: str,
    grey_range: tuple[float, float] | None,
    normalisation: Normalisation | None,
) -> Weights:
    """Turns tensors into the program's own form. Arguments and errors as `import_weights`."""
    tensors, name = file.tensors, file.name
    if is_dinov2(tensors):
        _refuse_range(grey_range, name)
        tensors = to_timm_names(tensors, architecture_name, name)
        normalisation = normalisation or _beside(file)
    if is_timm(architecture_name):
        _refuse_range(grey_range, name)
        return from_timm(
            tensors,
            architecture_name,
            what=name,
            source_kind=file.kind,
            source_sha256=file.sha256,
            normalisation=normalisation,
        )
    _refuse_normalisation(normalisation, name)
    return from_state_dict(
        tensors,
        architecture_name,
        what=name,
        source_kind=file.kind,
        source_sha256=file.sha256,
        grey_range=grey_range,
    )


def _beside(file: _NamedTensors) -> Normalisation:
    found = read_preprocessor(file.folder)
    if found is None:
        raise UsageError(
            f"{file.name} does not say the mean and std that its network was trained with: put the {PREPROCESSOR} that "
            "it was published with beside it, or say --mean R G B --std R G B; for RAD-DINO --mean 0.5307 0.5307 "
            "0.5307 --std 0.2583 0.2583 0.2583"
        )
    log.info("%s: mean %s and std %s, as %s says", file.name, found.mean, found.std, PREPROCESSOR)
    return found


def _refuse_options(grey_range: tuple[float, float] | None, normalisation: Normalisation | None, name: str) -> None:
    _refuse_range(grey_range, name)
    _refuse_normalisation(normalisation, name)


def _refuse_normalisation(normalisation: Normalisation | None, name: str) -> None:
    if normalisation:
        raise UsageError(f"{name}: --mean and --std are for networks of timm; they are known for all others")


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
