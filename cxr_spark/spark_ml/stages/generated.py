"""Makes the Params of a Spark ML stage, their setters and getters and its constructor's signature from settings.

A random stage stands for an augmentation, whose settings are the fields of a pydantic model. Name, type, default and
description of each setting are written there and nowhere else.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pyspark.ml.param import Param, Params, TypeConverters

#: Spark ML's converter for each type of setting.
_CONVERTERS: Mapping[Any, Callable[[Any], Any]] = MappingProxyType(
    {
        bool: TypeConverters.toBoolean,
        float: TypeConverters.toFloat,
        int: TypeConverters.toInt,
        str: TypeConverters.toString,
        list[float]: TypeConverters.toListFloat,
    }
)


def add_params(stage: type[Params], settings: type[BaseModel], names: Iterable[str]) -> dict[str, Any]:
    """Gives a class of stages one Param, one setter and one getter for each setting.

    Args:
        stage: the class; it gets the attributes `degrees`, `setDegrees` and `getDegrees` for a setting `degrees`.
        settings: the model whose fields are the settings; each needs a description and a default.
        names: the fields that become Params.

    Returns:
        The default of each Param by name.

    Raises:
        TypeError: a field has no description, no default, a type that Spark ML has no converter for, or the name of
            something else in the class.
    """
    defaults = {}
    for name in names:
        field = settings.model_fields[name]
        if not field.description or field.is_required():
            raise TypeError(f"{settings.__name__}.{name}: a setting of a stage needs a description and a default")
        converter = _converter(field, f"{settings.__name__}.{name}")
        if hasattr(stage, name):
            raise TypeError(f"{stage.__name__} has an attribute {name!r} already: call the setting otherwise")
        title = name[:1].upper() + name[1:]
        setattr(stage, name, Param(Params._dummy(), name, field.description, typeConverter=converter))
        setattr(stage, f"set{title}", _method(_setter(name), stage, f"set{title}", f"Sets the {field.description}."))
        setattr(stage, f"get{title}", _method(_getter(name), stage, f"get{title}", f"Gets the {field.description}."))
        defaults[name] = converter(field.default)
    return defaults


def signature_of(parameters: Mapping[str, Any]) -> inspect.Signature:
    """Returns the signature of a constructor that takes keywords only, each with its default."""
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Signature([inspect.Parameter(name, kind, default=value) for name, value in parameters.items()])


def documented(summary: str | None, descriptions: Mapping[str, str], defaults: Mapping[str, Any]) -> str:
    """Returns a class docstring in Google style: the summary, then one line for each keyword of the constructor."""
    lines = [f"    {name}: {text} (default: {defaults[name]})." for name, text in descriptions.items()]
    raised = "Raises:\n    ConfigError: a Param is out of range."
    return "\n\n".join([inspect.cleandoc(summary or ""), "Args:\n" + "\n".join(lines), raised])


def _converter(field: FieldInfo, where: str) -> Callable[[Any], Any]:
    kind = field.annotation
    if get_origin(kind) is tuple and set(get_args(kind)) == {float}:
        kind = list[float]
    if kind not in _CONVERTERS:
        raise TypeError(f"{where} is of type {kind}: expected bool, float, int, str or a tuple of floats")
    return _CONVERTERS[kind]


def _setter(name: str) -> Callable[..., Any]:
    def setter(self: Params, value: Any) -> Params:
        return self._set(**{name: value})

    return setter


def _getter(name: str) -> Callable[..., Any]:
    def getter(self: Params) -> Any:
        return self.getOrDefault(name)

    return getter


def _method(function: Callable[..., Any], owner: type, name: str, doc: str) -> Callable[..., Any]:
    function.__name__, function.__qualname__, function.__doc__ = name, f"{owner.__qualname__}.{name}", doc
    function.__module__ = owner.__module__
    return function
