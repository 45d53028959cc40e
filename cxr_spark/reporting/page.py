"""Renders HTML pages with one frame and style (`page.html.j2`), with escaping, and with one way to write numbers."""

from __future__ import annotations

from collections.abc import Sequence

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from cxr_spark.reporting.style import DPI

_NONE = "none"
#: A picture of 10 inches fills the width of a page.
_PIXELS_AN_INCH = 100
#: The bytes of a PNG file that hold the width: the first field of the header chunk (PNG specification, 11.2.2).
_PNG_WIDTH = slice(16, 20)


def environment(package: str) -> Environment:
    """Returns the environment that renders a package's templates and `page.html.j2`, which they extend.

    Every value is escaped.

    Args:
        package: the dotted name of the package; its templates are in its folder `templates`.
    """
    packages = dict.fromkeys((package, __package__))
    made = Environment(
        loader=ChoiceLoader([PackageLoader(name) for name in packages if name]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    made.filters |= {"three": _three, "interval": _interval, "percent": _percent, "count": count, "words": _words}
    made.filters |= {"signed": _signed, "signed_interval": _signed_interval}
    return made


def shown_width(png: bytes) -> int:
    """Returns the width, in CSS pixels, at which a small picture has the type size of those that fill the page."""
    width = int.from_bytes(png[_PNG_WIDTH], "big")
    return width * _PIXELS_AN_INCH // DPI


def count(value: int) -> str:
    """Writes a count with commas.

    >>> count(25596)
    '25,596'
    """
    return f"{value:,}"


def _three(value: float | None) -> str:
    return _NONE if value is None else f"{value:.3f}"


def _interval(bounds: Sequence[float] | None) -> str:
    return _NONE if bounds is None else f"{bounds[0]:.3f} to {bounds[1]:.3f}"


def _signed(value: float | None) -> str:
    return _NONE if value is None else f"{value:+.3f}"


def _signed_interval(bounds: Sequence[float] | None) -> str:
    return _NONE if bounds is None else f"{bounds[0]:+.3f} to {bounds[1]:+.3f}"


def _percent(value: float | None) -> str:
    return _NONE if value is None else f"{100 * value:.1f} %"


def _words(name: str) -> str:
    return name.replace("_", " ")
