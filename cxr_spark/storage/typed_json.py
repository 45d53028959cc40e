"""JSON that is read from outside: every value is checked by a typed model with bounds before anything uses it."""

from __future__ import annotations

import re
import reprlib
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints, ValidationError

from cxr_spark.errors import DataError

#: The beginning of pydantic's messages on the length of a value.
_SIZES = re.compile(r"^(?:List|Tuple|String|Dictionary|Set) should have ")

#: The most levels of lists and objects within each other, in JSON of any content. Settings and summaries have six.
_DEEPEST = 50

Model = TypeVar("Model", bound=BaseModel)


class OutsideModel(BaseModel):
    """Base of what is read from outside. Fields that are not named here are ignored, values are never converted."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True, allow_inf_nan=False)


def check_relative_name(name: str) -> str:
    """Returns the name of a file below a folder.

    Raises:
        ValueError: the name leads out of the folder, or is no name at all.
    """
    parts = name.split("/")
    if not name or any(part in ("", ".", "..") for part in parts) or any(ord(c) < 32 for c in name) or "\\" in name:
        raise ValueError("expected the name of a file below this folder")
    return name


#: The name of a file below a folder; it cannot lead out of the folder.
RelativeName = Annotated[str, StringConstraints(max_length=4096), AfterValidator(check_relative_name)]


def check_depth(value: dict[str, Any]) -> dict[str, Any]:
    """Returns a JSON object whose values no recursion over them can exhaust.

    Raises:
        ValueError: lists and objects in it are nested deeper than `_DEEPEST` levels.
    """
    level: list[Any] = [value]
    for _ in range(_DEEPEST):
        inner = (item.values() if isinstance(item, dict) else item for item in level)
        level = [item for items in inner for item in items if isinstance(item, dict | list)]
        if not level:
            return value
    raise ValueError(f"expected lists and objects nested no deeper than {_DEEPEST} levels")


#: A JSON object of any content, nested no deeper than `_DEEPEST` levels.
JsonObject = Annotated[dict[str, Any], AfterValidator(check_depth)]
#: A SHA-256 in lower-case hexadecimal digits.
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


def validated(model: type[Model], value: Any, what: str) -> Model:
    """Checks a value by a model.

    Args:
        model: the model that the value must fit.
        value: the value that was read from JSON.
        what: how the message begins, such as the URI of the file and what it should be.

    Raises:
        DataError: the value does not fit.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise DataError(f"{what}: {first_problem(error)}") from None


def validated_json(model: type[Model], data: bytes | str, what: str) -> Model:
    """Checks JSON text by a model. Arguments and errors as `validated`."""
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        raise DataError(f"{what}: {first_problem(error)}") from None


def first_problem(error: ValidationError) -> str:
    """Returns the first thing that is wrong, in one line: where it stands, its value, and what was expected."""
    problem = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in problem["loc"])
    text = problem["msg"].removeprefix("Value error, ").replace("Input should be", "expected")
    text = _SIZES.sub("expected ", text).replace(" after validation, not ", ", found ")
    if problem["type"] == "missing":
        return f"{where}: {text}"
    shown = " ".join(reprlib.repr(problem["input"]).split())
    return " ".join((f"{where!r} is {shown}: {text}" if where else text).split())
