"""A network in OpenVINO's form, as one file of a model folder or of a message. It needs neither torch nor openvino.

The file is a safetensors file, which carries no code: two arrays of bytes, OpenVINO's graph (XML) and weights, and a
note that says which network they are.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from cxr_spark.errors import DataError
from cxr_spark.models.header_note import NOTE, read_note
from cxr_spark.models.metadata import ModelMetadata

#: Rises when the way of converting changes, so that what an earlier version converted is not taken.
_FORMAT = 1


@dataclass(frozen=True)
class Converted:
    """A converted network.

    Attributes:
        graph: OpenVINO's XML.
        weights: the weights that the XML refers to.
        key: which network it is: what `key_of` returned.
    """

    graph: bytes
    weights: bytes
    key: dict[str, Any]

    def to_bytes(self) -> bytes:
        """Returns the content of the file."""
        arrays = {name: np.frombuffer(getattr(self, name), np.uint8) for name in ("graph", "weights")}
        note = json.dumps({"key": self.key, "sha256": self.sha256})
        return bytes(safetensors.numpy.save(arrays, {NOTE: note}))

    @classmethod
    def from_bytes(cls, data: bytes, what: str) -> Converted:
        """Reads the content of such a file.

        Args:
            data: the whole file.
            what: its name, for messages.

        Raises:
            DataError: it is no such file, or it was damaged.
        """
        try:
            arrays = safetensors.numpy.load(data)
            note = json.loads(read_note(data) or "{}")
            graph, weights = (arrays.pop(name).tobytes() for name in ("graph", "weights"))
            found = cls(graph, weights, dict(note["key"]))
            whole = found.sha256 == note["sha256"]
        except (SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise DataError(f"{what} is no converted network ({error}): delete it") from None
        if not whole:
            raise DataError(f"{what} was changed or damaged: delete it, and it is made anew")
        return found

    @cached_property
    def sha256(self) -> str:
        """The SHA-256 of graph and weights."""
        found = hashlib.sha256()
        for piece in (self.graph, b"\0", self.weights):  # not joined: the weights may be hundreds of megabytes
            found.update(piece)
        return found.hexdigest()


def key_of(metadata: ModelMetadata) -> dict[str, Any]:
    """Returns what tells one network from another: the hash of its weights, and all that shapes its graph."""
    return {
        "format": _FORMAT,
        "weights_sha256": metadata.weights_sha256,
        "architecture": metadata.architecture,
        "n_outputs": metadata.n_outputs,
        "build": metadata.build.model_dump(mode="json"),
        "input_size": metadata.preprocessing.input_size,
    }
