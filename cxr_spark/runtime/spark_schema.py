"""Arrow schemas as Spark sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    from pyspark.sql.types import StructType


def to_spark(schema: pa.Schema) -> StructType:
    """Returns the Spark schema that holds the same columns as an Arrow schema."""
    from pyspark.sql.pandas.types import from_arrow_schema

    return from_arrow_schema(schema)
