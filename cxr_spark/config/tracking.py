"""Settings of the tracking of a training by MLflow."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from cxr_spark.config.section import Section

#: The kinds of tracking URIs that are supported, as messages show them.
TRACKING_URIS = "http://HOST:PORT, https://HOST, sqlite:////PATH/FILE.db or file:///PATH"


def local_place(uri: str) -> str | None:
    """Returns the URI of the folder or the database file behind a tracking URI; None where that is on a server."""
    scheme, _, path = uri.partition(":///")
    if scheme not in ("file", "sqlite"):
        return None
    return f"file://{Path(path).absolute() if scheme == 'sqlite' else '/' + path}"


class MlflowSettings(Section):
    """Where a training is tracked by MLflow, beside its own files. None of this changes its result."""

    uri: str | None = Field(
        None,
        description=f"tracking URI of MLflow, to which the driver logs the training: {TRACKING_URIS}; default: none",
    )
    experiment: str = Field(
        "cxr_spark", min_length=1, max_length=500, description="name of MLflow's experiment; made if it is not there"
    )
    run_name: str | None = Field(
        None, min_length=1, max_length=500, description="name of MLflow's run; default: the name of the run's folder"
    )

    @property
    def place(self) -> str | None:
        """The URI of the folder or file that MLflow writes on the driver's own disk; None where it is on a server."""
        return local_place(self.uri) if self.uri else None

    @field_validator("uri")
    @classmethod
    def _known_kind(cls, uri: str | None) -> str | None:
        if uri is None:
            return None
        try:
            parts = urlsplit(uri)
            scheme, host, path = parts.scheme, parts.hostname, parts.path
            _ = parts.port  # raises where it is no number
        except ValueError:
            scheme, host, path = "", None, ""
        on_server = scheme in ("http", "https") and host
        in_files = scheme in ("file", "sqlite") and not host and len(path) > 1 and ":///" in uri
        if not (on_server or in_files):
            raise ValueError(f"expected {TRACKING_URIS}")
        return uri
