"""The mean and std that a network was trained with, where its file of weights does not say them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, NamedTuple

from pydantic import Field

from cxr_spark.errors import DataError, UsageError
from cxr_spark.storage.store import Store
from cxr_spark.storage.typed_json import OutsideModel, validated_json

#: What transformers writes beside the weights of a network for images.
PREPROCESSOR = "preprocessor_config.json"
#: Bytes of that file at the most; it has about 500.
_MAX_BYTES = 1 << 20
#: A std of 1 / 255 stands for pixels of 0 to 255. What is far below it would make the network's input infinite.
_MIN_STD = 0.001
_Mean = Annotated[float, Field(ge=0, le=1)]
_Std = Annotated[float, Field(ge=_MIN_STD, le=1)]
_OPTIONS = "--mean R G B and --std R G B"


class Normalisation(NamedTuple):
    """What a network takes: (rgb / 255 - mean) / std.

    Attributes:
        mean: the means of R, G and B, for pixels of 0 to 1.
        std: the standard deviations of R, G and B, for pixels of 0 to 1.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]


class _Preprocessor(OutsideModel):
    image_mean: tuple[_Mean, _Mean, _Mean]
    image_std: tuple[_Std, _Std, _Std]
    do_normalize: bool | None = None
    do_rescale: bool | None = None
    rescale_factor: float | None = None


def from_options(mean: Sequence[float] | None, std: Sequence[float] | None) -> Normalisation | None:
    """Takes the options `--mean` and `--std`.

    Args:
        mean: three numbers; None where the option was not given.
        std: three numbers; None where the option was not given.

    Returns:
        None where neither was given.

    Raises:
        UsageError: one was given without the other, or cannot be for pixels of 0 to 1.
    """
    if mean is None and std is None:
        return None
    if mean is None or std is None:
        raise UsageError(f"--{'mean' if std is None else 'std'} is there without the other: say both {_OPTIONS}")
    for option, values, lowest in (("mean", mean, 0.0), ("std", std, _MIN_STD)):
        if len(values) != 3 or not all(lowest <= value <= 1 for value in values):  # NaN is not, either
            shown = " ".join(f"{value:g}" for value in values)
            raise UsageError(
                f"--{option} {shown}: expected three numbers of {lowest:g} to 1, for pixels of 0 to 1 (divide those "
                "for pixels of 0 to 255 by 255)"
            )
    return Normalisation(tuple(mean), tuple(std))


def read_preprocessor(store: Store) -> Normalisation | None:
    """Reads the mean and std from the `preprocessor_config.json` of a folder.

    Returns:
        None where the folder has no such file.

    Raises:
        DataError: the file says no mean and std, or describes other steps than (rgb / 255 - mean) / std.
    """
    uri = store.uri_of(PREPROCESSOR)
    try:
        data = store.read_bytes(PREPROCESSOR, _MAX_BYTES + 1)
    except FileNotFoundError:
        return None
    if len(data) > _MAX_BYTES:
        raise DataError(
            f"{uri} has more than {_MAX_BYTES:,} bytes: copy it again, or say {_OPTIONS}, which go before it"
        )
    found = validated_json(
        _Preprocessor, data, f"{uri} does not say the mean and std of R, G and B ({_OPTIONS} go before it)"
    )
    factor = 1 / 255 if found.rescale_factor is None else found.rescale_factor
    if found.do_normalize is False or found.do_rescale is False or not math.isclose(factor, 1 / 255, rel_tol=1e-4):
        raise DataError(
            f"{uri} has do_normalize {found.do_normalize}, do_rescale {found.do_rescale} and rescale_factor "
            f"{factor:g}: expected true, true and 1/255; say {_OPTIONS} for pixels of 0 to 1, which go before it"
        )
    return Normalisation(found.image_mean, found.image_std)
