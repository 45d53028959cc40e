"""`_done.json`, the mark of finished work, as it is checked before anything of it is used."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from cxr_spark.outputs.mark import DONE_NAME
from cxr_spark.storage.store import NotJsonError, Store
from cxr_spark.storage.typed_json import JsonObject, OutsideModel, validated


class DoneRecord(OutsideModel):
    """The content of `_done.json`, as readers use it. Marks that other tools wrote may lack most of it.

    Attributes:
        job: name of the job that finished; empty where it is not said.
        fingerprint: SHA-256 of `inputs`; empty where it is not said.
        inputs: settings and inputs that the result was made with.
        summary: the result, as the command line printed it.
    """

    job: Annotated[str, Field(max_length=1000)] = ""
    fingerprint: Annotated[str, Field(max_length=1000)] = ""
    inputs: JsonObject = Field({})
    summary: JsonObject = Field({})


def read_done(store: Store) -> DoneRecord:
    """Reads the mark of finished work of an output folder.

    Raises:
        FileNotFoundError: there is none.
        NotJsonError: it is no JSON object.
        DataError: one of its values is not what it should be.
        RunError: it cannot be read.
    """
    found = store.read_json(DONE_NAME)
    if not isinstance(found, dict):
        raise NotJsonError(f"{store.uri_of(DONE_NAME)} is not a JSON object: it was damaged or is another file")
    return validated(DoneRecord, found, f"{store.uri_of(DONE_NAME)} is not a mark of finished work")
