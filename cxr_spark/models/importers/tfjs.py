"""TensorFlow.js layers models: `model.json` and the binary shards beside it."""

from __future__ import annotations

import hashlib
import json
import math
import re
import reprlib
from collections import Counter
from typing import Any, NamedTuple

import numpy as np

from cxr_spark.errors import DataError
from cxr_spark.models.importers.keras_model import KerasModel, read_config, role_of
from cxr_spark.models.limits import check_sum
from cxr_spark.storage.store import Store

#: A shard is a plain file beside model.json: no folders, no way up, no other scheme.
_SHARD_NAME = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9_.\-]*$")

#: Axes of a weight at the most: those of a convolution are 4.
_MAX_AXES = 8
_EXPECTED = "expected the model.json of a TensorFlow.js layers model"


def read_tfjs(store: Store, name: str, data: bytes, what: str) -> KerasModel:
    """Reads a layers model.

    Args:
        store: the folder.
        name: the name of the JSON file in that folder.
        data: the bytes of that file.
        what: its name for messages and the record.

    Raises:
        DataError: it is not a layers model, is quantised, or a shard is missing, cut off or outside the folder.
    """
    try:
        root = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{what} is not JSON ({error}): {_EXPECTED}") from None
    manifest = root.get("weightsManifest") if isinstance(root, dict) else None
    if not isinstance(manifest, list) or not manifest:
        raise DataError(f"{what} has no weightsManifest: {_EXPECTED}")
    if root.get("format", "layers-model") != "layers-model":
        raise DataError(f"{what} is a TensorFlow.js {root['format']!r}: convert the Keras model to a layers model")
    topology = root.get("modelTopology")
    model = topology.get("model_config", topology) if isinstance(topology, dict) else None
    result = KerasModel(what=what, kind="tfjs", sha256="", layers={}, config=read_config(model, what))
    groups = [_Group.of(group, what) for group in manifest]
    paths = [path for group in groups for path in group.paths]
    twice = [path for path, times in Counter(paths).items() if times > 1]
    if twice:
        raise DataError(f"{what} names the shard {twice[0]!r} more than once: the file is damaged")
    for group in groups:
        _check_shards(store, group, what)
    check_sum(sum(group.bytes for group in groups), what)
    digest = hashlib.sha256(data)
    for group in groups:
        _read_group(store, group, result, digest)
    return KerasModel(what, "tfjs", digest.hexdigest(), result.layers, result.config)


class _Group(NamedTuple):
    """A group of the weightsManifest: the names of its shards, and the names and shapes of the weights in them."""

    paths: list[str]
    entries: list[tuple[str, tuple[int, ...]]]

    @classmethod
    def of(cls, group: Any, what: str) -> _Group:
        if not isinstance(group, dict) or not all(isinstance(group.get(key), list) for key in ("paths", "weights")):
            raise DataError(f"{what}: a group of the weightsManifest lacks its lists of paths and weights")
        for path in group["paths"]:
            if not isinstance(path, str) or not _SHARD_NAME.match(path):
                raise DataError(f"{what} names the shard {path!r}: expected the name of a file beside model.json")
        return cls(group["paths"], [_entry(weight, what) for weight in group["weights"]])

    @property
    def bytes(self) -> int:
        return sum(4 * math.prod(shape) for _, shape in self.entries)


def _check_shards(store: Store, group: _Group, what: str) -> None:
    for path in group.paths:
        if not store.exists(path):
            raise DataError(f"{what} names the shard {path!r}, which is not beside it: copy the whole folder")
    found = sum(store.size(path) for path in group.paths)
    if found != group.bytes:
        raise DataError(
            f"{what}: its shards hold {found:,} bytes where its weights take {group.bytes:,}: a shard is cut off or of "
            "another model; copy the whole folder again"
        )


def _read_group(store: Store, group: _Group, model: KerasModel, digest: Any) -> None:
    data = b"".join(store.read_bytes(path) for path in group.paths)
    digest.update(data)
    if len(data) != group.bytes:
        raise DataError(f"{model.what}: its shards changed while they were read; import them again")
    position = 0
    for name, shape in group.entries:
        count = math.prod(shape)
        # Little-endian float32, as TensorFlow.js writes on all machines.
        array = np.frombuffer(data, dtype="<f4", count=count, offset=position).reshape(shape)
        model.layers.setdefault(name.rpartition("/")[0], {})[role_of(name, model.what)] = array
        position += 4 * count


def _entry(weight: Any, what: str) -> tuple[str, tuple[int, ...]]:
    name = weight.get("name") if isinstance(weight, dict) else None
    if not isinstance(name, str):
        raise DataError(f"{what}: a weight of the weightsManifest has no name")
    shape = weight.get("shape")
    if (
        not isinstance(shape, list)
        or len(shape) > _MAX_AXES
        or not all(type(n) is int and 0 <= n < 2**31 for n in shape)
    ):
        raise DataError(
            f"{what}: weight {name!r} has shape {reprlib.repr(shape)}, expected at most {_MAX_AXES} whole numbers"
        )
    if weight.get("dtype") != "float32" or "quantization" in weight:
        raise DataError(f"{what}: weight {name!r} is quantised or not float32: convert the model without quantisation")
    return name, tuple(shape)
