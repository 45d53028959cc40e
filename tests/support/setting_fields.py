"""The settings of the program, as their pydantic models declare them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel

from cxr_spark.config.section import is_section


def leaves(model: type[BaseModel], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, field in model.model_fields.items():
        if is_section(field.annotation):
            yield from leaves(field.annotation, f"{above}{name}.")  # type: ignore[arg-type]
        else:
            yield above + name, field.annotation


def takes_free_text(annotation: Any) -> bool:
    """Whether any text at all is a value, so that it could be a path."""
    return annotation is str or any(takes_free_text(part) for part in get_args(annotation) if part is not Ellipsis)
