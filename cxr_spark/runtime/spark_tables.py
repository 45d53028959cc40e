"""What Spark's own readers of tables need: paths taken literally, and errors in one clear line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from cxr_spark.errors import DataError


@contextmanager
def unreadable(uri: str) -> Iterator[None]:
    """Turns what Spark raises on a table that it cannot open into a DataError with one clear line."""
    from py4j.protocol import Py4JJavaError  # type: ignore[import-untyped]
    from pyspark.errors import PySparkException

    try:
        yield
    except (PySparkException, Py4JJavaError) as error:
        java = getattr(error, "java_exception", None)
        text = str(java.getMessage() if java is not None else error).strip().splitlines()
        raise DataError(f"cannot read {uri} as Parquet: {text[0] if text else type(error).__name__}") from None


def literal(uri: str) -> str:
    """Escapes what Hadoop takes for a pattern in a path."""
    return re.sub(r"([\[\]{}*?\\])", r"\\\1", uri)
