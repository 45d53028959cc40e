"""The converted network that a model folder keeps, so that it is converted once for all jobs."""

from __future__ import annotations

import logging

from cxr_spark.errors import DataError, RunError
from cxr_spark.models.limits import MAX_FILE_BYTES
from cxr_spark.models.metadata import ModelMetadata
from cxr_spark.scoring.converted import CONVERTED_NAME, Converted, key_of
from cxr_spark.storage.store import Store

log = logging.getLogger(__name__)


def kept_conversion(store: Store, metadata: ModelMetadata) -> bytes | None:
    """Returns the converted network that a model folder holds.

    Returns:
        The content of its file; None where there is none, or one of other weights or a damaged one.
    """
    try:
        data = store.read_bytes(CONVERTED_NAME, MAX_FILE_BYTES + 1)
        kept = Converted.from_bytes(data, store.uri_of(CONVERTED_NAME))
    except FileNotFoundError:
        return None
    except DataError as error:
        log.warning("%s", error)
        return None
    return data if kept.key == key_of(metadata) else None


def keep(store: Store, data: bytes) -> bool:
    """Writes a converted network into its model folder.

    Returns:
        Whether that could be done: some folders are for reading only.
    """
    try:
        store.write_bytes(CONVERTED_NAME, data)
    except RunError as error:
        log.info("the converted network is not kept for later jobs: %s", error)
        return False
    return True
