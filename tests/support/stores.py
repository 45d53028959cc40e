"""Where a test looks behind a store's back."""

from __future__ import annotations

from pathlib import Path
from urllib.request import url2pathname

from cxr_spark.storage.store import Store
from cxr_spark.storage.uris import scheme_of


def folder_of(store: Store) -> Path:
    """Returns the folder of a local store."""
    assert scheme_of(store.uri) == "file", store.uri
    return Path(url2pathname(store.uri.removeprefix("file://")))
