"""One way to write each kind of number, in pages, in LaTeX and in messages."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

NONE = "none"
#: Between a number and its unit: they stay on one line.
_UNIT_SPACE = "\N{NO-BREAK SPACE}"


def count(value: int | None) -> str:
    """Writes a count with commas.

    >>> count(25596)
    '25,596'
    """
    return NONE if value is None else f"{value:,}"


def three(value: float | None) -> str:
    """Writes a number with three decimals.

    >>> three(0.81249)
    '0.812'
    """
    return NONE if value is None else f"{value:.3f}"


def threshold(value: float | None) -> str:
    """Writes a threshold with three significant digits, so that a small one does not look like 0.

    >>> threshold(0.000412345), threshold(0.5)
    ('0.000412', '0.500')
    """
    if value is None:
        return NONE
    return f"{value:.3f}" if value == 0 or abs(value) >= 0.1 else f"{value:.3g}"


def interval(bounds: Sequence[float] | None) -> str:
    """Writes an interval.

    >>> interval([0.7, 0.8125])
    '0.700 to 0.812'
    """
    return NONE if bounds is None else f"{bounds[0]:.3f} to {bounds[1]:.3f}"


def signed(value: float | None) -> str:
    """Writes a difference, with its sign.

    >>> signed(0.0125)
    '+0.013'
    """
    return NONE if value is None else f"{value:+.3f}"


def signed_interval(bounds: Sequence[float] | None) -> str:
    """Writes the interval of a difference.

    >>> signed_interval([-0.01, 0.02])
    '-0.010 to +0.020'
    """
    return NONE if bounds is None else f"{bounds[0]:+.3f} to {bounds[1]:+.3f}"


def percent(value: float | None) -> str:
    """Writes a share as a percentage.

    >>> percent(0.127).split()
    ['12.7', '%']
    """
    return NONE if value is None else f"{100 * value:.1f}{_UNIT_SPACE}%"


def p_value(value: float | None) -> str:
    """Writes a p-value; those below 0.001 as such.

    >>> p_value(0.0004)
    '< 0.001'
    """
    if value is None:
        return NONE
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def words(name: str | None) -> str:
    """Writes a name of the data with blanks for underscores.

    >>> words("Pleural_Thickening")
    'Pleural Thickening'
    """
    return "" if name is None else str(name).replace("_", " ")


def as_is(name: str | None) -> str:
    """Writes a name of the data, such as that of an image, as it is.

    >>> as_is("study_1/image.png")
    'study_1/image.png'
    """
    return "" if name is None else str(name)


#: The kinds of cells that a table can have, and how each is written.
FORMS: Mapping[str, Callable[[Any], str]] = MappingProxyType(
    {
        "text": words,
        "name": as_is,
        "count": count,
        "three": three,
        "threshold": threshold,
        "interval": interval,
        "signed": signed,
        "signed_interval": signed_interval,
        "percent": percent,
        "p": p_value,
    }
)
