"""The `metadata.json` of a model folder, which is read without torch."""

from __future__ import annotations

from typing import Protocol

from cxr_spark.errors import DataError
from cxr_spark.models.metadata import ModelMetadata
from cxr_spark.outputs.names import FOLD
from cxr_spark.storage.typed_json import validated_json

METADATA_NAME = "metadata.json"
WEIGHTS_NAME = "weights.safetensors"


class ModelFolder(Protocol):
    """A folder that a model can be read from, such as a `Store`."""

    @property
    def uri(self) -> str:
        """The URI of the folder."""

    def uri_of(self, name: str) -> str:
        """Returns the full URI of a file in it."""

    def read_bytes(self, name: str) -> bytes:
        """Returns the content of a file; FileNotFoundError where there is none."""


#: Bytes of a `metadata.json` at the most. Real ones have some kilobytes.
_MAX_METADATA_BYTES = 16 << 20


def load_metadata(store: ModelFolder) -> ModelMetadata:
    """Reads and checks the `metadata.json` of a model folder.

    Raises:
        DataError: the folder holds no model, or a damaged one.
    """
    uri = store.uri_of(METADATA_NAME)
    try:
        data = store.read_bytes(METADATA_NAME)
    except FileNotFoundError:
        hint = f"; the model of this training is {store.uri_of('model')}" if _is_run(store, "model") else ""
        first = f"{FOLD.format(number=1)}/model"
        if _is_run(store, first):
            hint = f"; the models of this cross-validation are {store.uri_of(first)} and so on"
        raise DataError(
            f"{store.uri} holds no model: expected {METADATA_NAME} and {WEIGHTS_NAME} in it{hint}"
        ) from None
    if len(data) > _MAX_METADATA_BYTES:
        raise DataError(f"{uri} has {len(data):,} bytes: expected a model's metadata, a page of JSON")
    return validated_json(ModelMetadata, data, f"{uri} is no model's metadata")


def _is_run(store: ModelFolder, model: str) -> bool:
    """Whether a folder is the output of the train job, which has a model in that folder below it."""
    try:
        store.read_bytes(f"{model}/{METADATA_NAME}")
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True
