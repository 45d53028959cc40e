"""The converted network that a model folder keeps, so that it is converted once for all jobs."""

from __future__ import annotations

import logging
from typing import NamedTuple

from cxr_spark.errors import DataError, RunError, UsageError
from cxr_spark.models.limits import MAX_FILE_BYTES
from cxr_spark.models.metadata import ModelMetadata
from cxr_spark.outputs.names import CONVERTED_NAME
from cxr_spark.runtime.requirements import TORCH, missing
from cxr_spark.scoring.converted import Converted, key_of
from cxr_spark.storage.store import Store

log = logging.getLogger(__name__)


class ConvertedFile(NamedTuple):
    """A converted network as a file.

    Attributes:
        data: the content of the file.
        sha256: the SHA-256 of the network's graph and weights.
    """

    data: bytes
    sha256: str


def converted_network(store: Store, metadata: ModelMetadata) -> ConvertedFile:
    """Returns the converted network of a model folder: the one that it holds, else a new one, which is kept there.

    Raises:
        DataError: the folder holds no model, or a damaged one.
        RunError: it holds another model than those metadata tell of, or the network cannot be converted.
        UsageError: the network has to be converted, and torch is not installed here.
    """
    unusable: str | None = None
    try:
        file = kept_conversion(store, metadata)
    except (DataError, RunError) as error:
        file, unusable = None, str(error)
    if file is None:
        _check_convertible(store.uri, unusable)
        if unusable is not None:
            log.warning("the network is converted anew: %s", unusable)
        from cxr_spark.scoring.converting import convert  # it needs torch, which a kept network does not

        converted = convert(store, metadata)
        file = ConvertedFile(converted.to_bytes(), converted.sha256)
        keep(store, file.data)
    return file


def _check_convertible(model: str, unusable: str | None) -> None:
    """Checks, without importing it, that torch is installed where a model's network has to be converted first.

    Args:
        model: the URI of the model folder.
        unusable: why the converted network that the folder holds cannot be used; None where it holds none of its
            weights.

    Raises:
        UsageError: it is missing.
    """
    if missing(TORCH):
        found = "holds no converted network of its weights"
        if unusable is not None:
            found = f"holds a converted network that cannot be used ({unusable})"
        raise UsageError(
            f"--model {model} {found}, and converting one needs torch: score once with --engine "
            "openvino where torch is installed and the folder can be written, or pip install 'cxr-spark[torch]' here"
        )


def kept_conversion(store: Store, metadata: ModelMetadata) -> ConvertedFile | None:
    """Returns the converted network that a model folder holds.

    Returns:
        Its file; None where there is none, or one of other weights.

    Raises:
        DataError: the file is damaged.
        RunError: it may not be read.
    """
    try:
        data = store.read_bytes(CONVERTED_NAME, MAX_FILE_BYTES + 1)
        kept = Converted.from_bytes(data, store.uri_of(CONVERTED_NAME))
    except FileNotFoundError:
        return None
    return ConvertedFile(data, kept.sha256) if kept.key == key_of(metadata) else None


def keep(store: Store, data: bytes) -> bool:
    """Writes a converted network into its model folder.

    Returns:
        Whether that could be done: some folders are for reading only, and a training that starts in the folder
        meanwhile deletes files that are half written.
    """
    try:
        store.write_bytes(CONVERTED_NAME, data)
    except (RunError, FileNotFoundError) as error:
        log.info("the converted network is not kept for later jobs: %s", error)
        return False
    return True
