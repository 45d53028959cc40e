"""Runs ordered lists of augmentations, and builds them from settings or from saved JSON. No Spark."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError

from cxr_spark.augmentation.erasing import Erasing
from cxr_spark.augmentation.kinds import (
    Affine,
    BatchAugmentation,
    Brightness,
    Crop,
    HorizontalFlip,
    VerticalFlip,
)
from cxr_spark.augmentation.trivial import Trivial
from cxr_spark.errors import ConfigError

__all__ = [
    "AUGMENTATIONS",
    "BatchAugmentation",
    "augment",
    "from_config",
    "from_json",
    "make",
    "numbered",
    "output_size",
    "without_draws",
]

#: The augmentations by the name that settings and saved pipelines use.
AUGMENTATIONS: Mapping[str, type[BatchAugmentation]] = MappingProxyType(
    {kind.name: kind for kind in (HorizontalFlip, VerticalFlip, Crop, Affine, Brightness, Erasing, Trivial)}
)


def augment(
    batch: torch.Tensor, augmentations: Iterable[BatchAugmentation], keys: NDArray[np.uint64], seed: int, epoch: int
) -> torch.Tensor:
    """Runs augmentations in order on a batch (N, H, W); see `BatchAugmentation.__call__`."""
    for augmentation in augmentations:
        batch = augmentation(batch, keys, seed, epoch)
    return batch


def without_draws(batch: torch.Tensor, augmentations: Iterable[BatchAugmentation]) -> torch.Tensor:
    """Runs the deterministic counterpart of each augmentation, as validation and scoring do.

    A random crop becomes the crop of the middle; all others leave the batch as it is.
    """
    for augmentation in augmentations:
        batch = augmentation.deterministic(batch)
    return batch


def output_size(augmentations: Iterable[BatchAugmentation], size: tuple[int, int]) -> tuple[int, int]:
    """Returns (height, width) after all augmentations for images of (height, width)."""
    for augmentation in augmentations:
        size = augmentation.output_size(size)
    return size


def numbered(augmentations: Iterable[BatchAugmentation]) -> list[BatchAugmentation]:
    """Numbers the augmentations of each kind by their `stream`, so that two of a kind draw independently.

    >>> [a.stream for a in numbered([HorizontalFlip(), Brightness(), HorizontalFlip()])]
    [0, 0, 1]
    """
    seen: dict[str, int] = {}
    result = []
    for augmentation in augmentations:
        stream = seen.get(augmentation.name, 0)
        seen[augmentation.name] = stream + 1
        result.append(augmentation.model_copy(update={"stream": stream}))
    return result


def make(name: str, settings: Mapping[str, Any]) -> BatchAugmentation:
    """Builds one augmentation.

    Args:
        name: a name in `AUGMENTATIONS`.
        settings: the values of its settings by name. A setting that is left out has its default.

    Raises:
        ConfigError: the name or a setting is unknown, or a value is out of range.
    """
    kind = AUGMENTATIONS.get(name) if isinstance(name, str) else None
    if kind is None:
        near = difflib.get_close_matches(str(name), AUGMENTATIONS, n=1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise ConfigError(f"unknown augmentation {name!r}{hint}: expected one of {', '.join(AUGMENTATIONS)}")
    try:
        return kind.model_validate({str(key): value for key, value in settings.items()})
    except ValidationError as error:
        problems = "; ".join(_problem(name, kind, item) for item in error.errors())
        raise ConfigError(problems) from None


def from_config(entries: object) -> list[BatchAugmentation]:
    """Builds augmentations from settings: a list whose entries are a name, or one name with its settings.

    >>> from_config(["random_horizontal_flip", {"random_affine": {"degrees": 5}}])[1].degrees
    5.0

    Args:
        entries: the list, as a settings file gives it.

    Returns:
        The augmentations in order, numbered.

    Raises:
        ConfigError: `entries` is not such a list, or `make` refuses one of them.
    """
    if not isinstance(entries, list | tuple):
        raise ConfigError(
            f"augmentations is {entries!r}: expected a list such as [{{random_horizontal_flip: {{p: 0.5}}}}]"
        )
    return numbered([_from_entry(entry) for entry in entries])


def from_json(text: str) -> BatchAugmentation:
    """Builds the augmentation that `BatchAugmentation.to_json` wrote down.

    >>> from_json(Crop(size=200).to_json()) == Crop(size=200)
    True

    Raises:
        ConfigError: the text is not the JSON of an augmentation, or `make` refuses it.
    """
    try:
        settings = json.loads(text)
        name = settings.pop("name")
    except (ValueError, AttributeError, KeyError, TypeError, RecursionError):
        raise ConfigError(
            f"{text!r} is not an augmentation: expected a JSON object with a name and the settings of that augmentation"
        ) from None
    return make(name, settings)


def _from_entry(entry: object) -> BatchAugmentation:
    if isinstance(entry, BatchAugmentation):
        return entry
    if isinstance(entry, str):
        return make(entry, {})
    if isinstance(entry, Mapping) and len(entry) == 1:
        ((name, settings),) = entry.items()
        settings = {} if settings is None else settings
        if isinstance(settings, Mapping) and "stream" not in settings:
            return make(name, settings)
    raise ConfigError(
        f"augmentation {entry!r}: expected a name, or one name with its settings "
        "such as {random_affine: {degrees: 5}}"
    )


def _problem(name: str, kind: type[BatchAugmentation], item: Any) -> str:
    where = ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        known = ", ".join(sorted(set(kind.model_fields) - {"stream"}))
        return f"{name} has no setting {where!r}: expected some of {known}"
    return f"{name}.{where} is {item['input']!r}: {item['msg'].removeprefix('Value error, ')}"
