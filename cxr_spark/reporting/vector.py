"""Puts a plot into a page as SVG that follows the reader's light or dark colours."""

from __future__ import annotations

import re
from types import MappingProxyType

from cxr_spark.reporting.style import FAINT, GREY, INK

#: The colours of plots that the page has of its own, in light and dark.
_OF_PAGE = MappingProxyType({INK: "var(--ink)", GREY: "var(--soft)", FAINT: "var(--line)", "#ffffff": "var(--paper)"})
_HEAD = re.compile(r"\A.*?(?=<svg)", re.DOTALL)
_METADATA = re.compile(r"<metadata>.*?</metadata>", re.DOTALL)
_STYLE = re.compile(r"<style[^>]*>.*?</style>", re.DOTALL)
_NAMESPACE = re.compile(r"\sxmlns(?::\w+)?=\"[^\"]*\"")
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_SIZE = re.compile(r"(<svg[^>]*?)\s(?:width|height)=\"[^\"]*\"")


def themed(svg: bytes) -> str:
    """Returns a plot as markup that a page takes as it is, without escaping.

    Args:
        svg: what `style.figure` wrote: it draws texts as paths and escapes what comes from data.

    Returns:
        The element `svg`, as wide as its place, in the page's colours. Comments, which hold the texts, are left out.
    """
    text = _HEAD.sub("", svg.decode())
    for part in (_METADATA, _COMMENT, _STYLE, _NAMESPACE):  # a style would be one of the whole page
        text = part.sub("", text)
    text = text.replace("xlink:href=", "href=")
    for _ in ("width", "height"):
        text = _SIZE.sub(r"\1", text, count=1)
    for colour, variable in _OF_PAGE.items():
        text = re.sub(f"{colour}(?![0-9a-fA-F])", variable, text, flags=re.IGNORECASE)
    return text
