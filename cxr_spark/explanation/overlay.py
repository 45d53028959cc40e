"""Draws the pictures of an explanation: an image beside its heat map, and the maps of a layer. No Spark, no torch."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import cv2
import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from cxr_spark.errors import RunError
from cxr_spark.explanation.boxes import Box
from cxr_spark.explanation.shown import ShownFinding
from cxr_spark.reporting.style import FAINT, GREY, INK, VERMILLION, display_name

#: The side of each of the two pictures in pixels.
SIDE = 512
#: The most channels of a layer that are shown.
MAX_TILES = 64

_MARGIN, _GAP, _HEAD, _FOOT = 14, 10, 84, 34
#: The space above the second map and those that follow, for their titles.
_NEXT_HEAD = 46
_TILE, _TILE_GAP, _COLUMNS = 96, 6, 8
#: The opacity of the strongest colour of a heat map, from 0 to 1. Where the map is zero, the image stays as it is.
_OPACITY = 0.65


class Caption(NamedTuple):
    """The text at the top of an overlay.

    Attributes:
        image_index: the name of the image.
        labels: the findings that the image is labelled with; None where they are not known.
        note: one more line, about the method.
    """

    image_index: str
    labels: Sequence[str] | None
    note: str


class HeatMap(NamedTuple):
    """The map of one finding, which is drawn beside the finding's own boxes only.

    Attributes:
        shown: the finding, with its probability.
        heat: float32 (SIDE, SIDE), 0 to 1.
        boxes: the boxes of the finding, in fractions of the image's side.
    """

    shown: ShownFinding
    heat: NDArray[np.float32]
    boxes: Sequence[Box] = ()


def map_corners(maps: int) -> list[tuple[int, int]]:
    """Returns the left and the upper edge, in pixels, of the image under each of some maps in one picture."""
    return [(_MARGIN + SIDE + _GAP, _HEAD + number * (_NEXT_HEAD + SIDE + _FOOT)) for number in range(maps)]


def overlay(image: NDArray[np.uint8], maps: Sequence[HeatMap], caption: Caption) -> bytes:
    """Draws, for each finding, an image at the left, and at the right the same image under the finding's heat map.

    Args:
        image: uint8 (SIDE, SIDE), grey.
        maps: the maps, from the top. A finding's boxes are drawn on both of its pictures.
        caption: the text at the top.

    Returns:
        A PNG file.
    """
    width, corners = 2 * (SIDE + _MARGIN) + _GAP, map_corners(len(maps))
    page = Image.new("RGB", (width, corners[-1][1] + SIDE + _FOOT), "white")
    draw = ImageDraw.Draw(page)
    room = width - 2 * _MARGIN
    _text(draw, (_MARGIN, 42), caption.image_index, 14, INK, room)
    labels = "labels not known" if caption.labels is None else "labelled " + (", ".join(caption.labels) or "nothing")
    _text(draw, (_MARGIN, 62), f"{labels}; {caption.note}".replace("_", " "), 12, GREY, room)
    for number, (one, (_, top)) in enumerate(zip(maps, corners, strict=True)):
        title = f"{display_name(one.shown.finding)}  {100 * one.shown.probability:.1f} %"
        _text(draw, (_MARGIN, 10 if number == 0 else top - 36), title, 22, INK, room, bold=True)
        _draw_map(page, image, one, top)
    return _png(page)


def _draw_map(page: Image.Image, image: NDArray[np.uint8], one: HeatMap, top: int) -> None:
    """Draws the two pictures of a finding, and what is to be said below them."""
    draw = ImageDraw.Draw(page)
    grey = np.repeat(image[:, :, None], 3, axis=2)
    alpha = _OPACITY * one.heat[:, :, None]
    colours = _colour_map()[np.rint(one.heat * 255).astype(np.uint8)]
    mixed = np.rint(grey * (1 - alpha) + colours * alpha).astype(np.uint8)
    places = (_MARGIN, _MARGIN + SIDE + _GAP)
    for left, picture in zip(places, (grey, mixed), strict=True):
        page.paste(Image.fromarray(picture), (left, top))
        for box in one.boxes:
            x, y = left + box.x * (SIDE - 1), top + box.y * (SIDE - 1)
            draw.rectangle((x, y, x + box.w * (SIDE - 1), y + box.h * (SIDE - 1)), outline=VERMILLION, width=3)
    colour = GREY if one.shown.overlap is None else VERMILLION
    _text(draw, (_MARGIN, top + SIDE + 10), one.shown.in_words, 12, colour, SIDE)
    if one.heat.any():
        _scale(page, draw, places[1], top)
    else:
        told = "no evidence for the finding: its map is zero everywhere"
        _text(draw, (places[1], top + SIDE + 10), told, 12, INK, SIDE)


def contact_sheet(maps: NDArray[np.float32], layer: str, image_index: str) -> bytes:
    """Draws the channels of a layer's output: the strongest `MAX_TILES` of them, in the order of their numbers.

    Args:
        maps: float32 (C, h, w).
        layer: the name of the layer.
        image_index: the name of the image.

    Returns:
        A PNG file. Every tile is grey from its own lowest value to its own highest value.
    """
    channels, height, width = maps.shape
    strength = np.abs(maps).reshape(channels, -1).mean(axis=1)
    chosen = np.sort(np.argsort(-strength, kind="stable")[:MAX_TILES])
    columns = min(_COLUMNS, len(chosen))
    step = _TILE + _TILE_GAP
    down = -(-len(chosen) // columns) * (step + 14)
    page = Image.new("RGB", (2 * _MARGIN + max(columns, 5) * step - _TILE_GAP, 66 + down + _MARGIN), "white")
    draw = ImageDraw.Draw(page)
    room = page.width - 2 * _MARGIN
    shown = f", the {len(chosen)} strongest" if len(chosen) < channels else ""
    _text(draw, (_MARGIN, 10), f"{layer}: {channels} channels of {height} x {width}{shown}", 15, INK, room, bold=True)
    _text(draw, (_MARGIN, 32), f"{image_index}; each tile from its own lowest to its own highest value", 12, GREY, room)
    for i, channel in enumerate(chosen):
        x, y = _MARGIN + i % columns * step, 62 + i // columns * (step + 14)
        tile = maps[channel]
        low, span = float(tile.min()), float(np.ptp(tile))
        grey = ((tile - low) / span * 255).astype(np.uint8) if span > 0 else np.zeros(tile.shape, np.uint8)
        page.paste(Image.fromarray(cv2.resize(grey, (_TILE, _TILE), interpolation=cv2.INTER_NEAREST)), (x, y))
        _text(draw, (x, y + _TILE + 1), str(channel), 10, GREY, _TILE)
    return _png(page)


def _scale(page: Image.Image, draw: ImageDraw.ImageDraw, left: int, picture_top: int) -> None:
    """Draws the colour scale below a picture."""
    top, width = picture_top + SIDE + 12, 160
    ramp = _colour_map()[np.linspace(0, 255, width).astype(np.uint8)]
    page.paste(Image.fromarray(np.repeat(ramp[None], 10, axis=0)), (left, top))
    draw.rectangle((left - 1, top - 1, left + width, top + 10), outline=FAINT)
    told = "evidence for the finding: none to the map's highest"
    _text(draw, (left + width + 10, top - 3), told, 12, GREY, SIDE - width - 10)


def _text(
    draw: ImageDraw.ImageDraw, at: tuple[int, int], text: str, size: int, colour: str, room: float, bold: bool = False
) -> None:
    font = _font(size, bold)
    draw.text(at, _fitted("".join(c if c.isprintable() else "?" for c in text), font, room), font=font, fill=colour)


def _fitted(text: str, font: ImageFont.FreeTypeFont, room: float) -> str:
    """Takes characters out of the middle of a text until it fits."""
    text = text if len(text) <= 400 else f"{text[:200]}{text[-200:]}"
    shown, kept = text, len(text)
    while kept > 2 and font.getlength(shown) > room:
        kept -= 1
        shown = f"{text[: (kept + 1) // 2]}…{text[len(text) - kept // 2 :]}"
    return shown


@lru_cache(maxsize=8)
def _font(size: int, bold: bool) -> ImageFont.FreeTypeFont:
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"  # comes with matplotlib: the same on every node
    return ImageFont.truetype(str(Path(matplotlib.get_data_path(), "fonts", "ttf", name)), size)


@lru_cache(maxsize=1)
def _colour_map() -> NDArray[np.uint8]:
    """Returns viridis, uint8 (256, 3) RGB. Readers with any colour vision see it rise, in print as well."""
    colours: NDArray[np.uint8] = matplotlib.colormaps["viridis"](np.arange(256), bytes=True)[:, :3]
    return colours


def _png(page: Image.Image) -> bytes:
    done, data = cv2.imencode(".png", np.asarray(page)[:, :, ::-1])
    if not done:
        raise RunError("a picture could not be written as PNG")
    return bytes(data)
