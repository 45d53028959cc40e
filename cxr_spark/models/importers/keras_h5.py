"""Keras .h5 files: weights alone (`save_weights`) and whole models (`model.save`)."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from cxr_spark.errors import DataError
from cxr_spark.models.importers.keras_model import KerasModel, read_config, role_of
from cxr_spark.models.limits import array_limit, check_sum, reading_limits
from cxr_spark.models.tensors import sha256
from cxr_spark.runtime.isolation import FileContent, read_apart

MAGIC = b"\x89HDF\r\n\x1a\n"
#: VGG-16's first dense layer, the largest there is, has a fifth of this.
_MAX_VALUES = 1 << 29
#: Weights that a file may name. DenseNet-121 has 606.
_MAX_NAMES = 100_000


def read_h5(data: bytes, what: str) -> KerasModel:
    """Reads a Keras .h5 file in a process of its own (`runtime/isolation.py`).

    Raises:
        DataError: it is damaged, or is HDF5 of another program or of Keras 3's own layout, or cannot be read within
            the limits of that process.
    """
    parts = read_apart(parse_h5, data, what, reading_limits(len(data)))
    layers: dict[str, dict[str, NDArray[np.float32]]] = {}
    try:
        for (layer, role), (name, array) in zip(parts.note["places"], parts.arrays.items(), strict=True):
            if array.dtype != np.float32:
                raise TypeError(f"array {name} is {array.dtype}")
            layers.setdefault(str(layer), {})[str(role)] = array
        config = {str(name): (str(kind), dict(inner)) for name, (kind, inner) in parts.note["config"].items()}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{what} came out of its reader damaged ({error}): it is made to harm") from None
    return KerasModel(what=what, kind="keras_h5", sha256=sha256(data), layers=layers, config=config)


def parse_h5(data: bytes, what: str) -> FileContent:
    """Reads a Keras .h5 file in this process: the part of `read_h5` that runs in the child.

    Returns:
        The weights, float32, numbered; the note has the layer and the role of each, and the model's configuration.

    Raises:
        DataError: see `read_h5`.
    """
    try:
        with h5py.File(io.BytesIO(data), "r") as file:
            root = _member(file, "model_weights", what) if "model_weights" in file.keys() else file  # noqa: SIM118
            if not _names(root, "layer_names"):
                raise DataError(
                    f"{what} is HDF5, but has no Keras layer names: save the weights with "
                    "model.save_weights('NAME.h5') or the model with model.save('NAME.h5') of Keras 2"
                )
            found = list(_weights(file, root, what))
            declared = sum(4 * int(dataset.size) for _, _, dataset in found)
            check_sum(declared, what, array_limit(len(data)))
            arrays = {str(i): np.asarray(dataset, dtype=np.float32) for i, (_, _, dataset) in enumerate(found)}
            places = [(layer, role) for layer, role, _ in found]
            text = file.attrs.get("model_config")
            config = read_config(json.loads(text), what) if text is not None else {}
    except (DataError, MemoryError):
        raise
    except Exception as error:  # HDF5 may raise any error at a damaged file
        raise DataError(f"{what} cannot be read as a Keras .h5 file ({error}): copy it again") from None
    return FileContent(arrays, {"places": places, "config": config})


def _weights(file: h5py.File, root: Any, what: str) -> Iterator[tuple[str, str, Any]]:
    """Finds the weights: layer, role and the dataset, which is not read yet."""
    count = 0
    for group_name in _names(root, "layer_names"):
        group = _member(root, group_name, what)
        names = _names(group, "weight_names")
        # A layer that is a model itself holds the weights of many layers; the part before the role tells them apart.
        # In an ordinary group it may differ from the layer's name: Keras numbers layers that are made twice.
        prefixes = {name.rpartition("/")[0] for name in names}
        for name in names:
            dataset = _member(group, name, what)
            _check_dataset(file, dataset, f"{what}: {group_name}/{name}")
            layer = group_name if len(prefixes) == 1 else name.rpartition("/")[0].removeprefix(f"{group_name}/")
            count += 1
            if count > _MAX_NAMES:
                raise DataError(f"{what} names more than {_MAX_NAMES:,} weights: it is no network's")
            yield layer, role_of(name, what), dataset


def _member(group: Any, path: str, what: str) -> Any:
    """Returns what lies at a path below a group, without opening any other file.

    HDF5 opens the file that a link leads to as soon as somebody asks for the link's target, so links are looked at
    first. Keras writes none.

    Raises:
        DataError: a link stands in the path.
    """
    found = group
    for part in filter(None, path.split("/")):
        if not isinstance(found, h5py.Group):
            raise DataError(f"{what}: {path} leads through an array: expected groups alone above {part!r}")
        if not isinstance(found.get(part, getlink=True), h5py.HardLink):
            raise DataError(f"{what}: {path} is not in the file itself but a link to what lies elsewhere")
        found = found[part]
    return found


def _check_dataset(file: h5py.File, dataset: Any, what: str) -> None:
    if not isinstance(dataset, h5py.Dataset) or dataset.dtype.kind != "f":
        raise DataError(f"{what} is not an array of floating-point numbers")
    if (
        dataset.file != file or dataset.external or dataset.is_virtual
    ):  # HDF5 can make a file point at any other file of this machine
        raise DataError(f"{what} is not in the file itself but in another one")
    if dataset.size > _MAX_VALUES:  # a few bytes of HDF5 can declare any size
        raise DataError(f"{what} has {dataset.size:,} values: no layer of a network that can be imported has so many")


def _names(group: Any, attribute: str) -> list[str]:
    """Reads a list of names; Keras splits long ones over `NAME0`, `NAME1`, ..., since HDF5 limits an attribute."""
    if attribute in group.attrs:
        chunks = [group.attrs[attribute]]
    else:
        chunks = []
        while f"{attribute}{len(chunks)}" in group.attrs:
            chunks.append(group.attrs[f"{attribute}{len(chunks)}"])
    return [name.decode() if isinstance(name, bytes) else str(name) for chunk in chunks for name in chunk]
