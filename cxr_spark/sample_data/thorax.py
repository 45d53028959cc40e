"""A sketch of a frontal chest X-ray: draws a thorax of given proportions.

Positions are those of `anatomy.py`. Brightness is 0 for black (air) to 1 for white.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cxr_spark.sample_data.anatomy import SIDES, Anatomy

Map = NDArray[np.float32]

#: Brightness of what fills an airless lung, of the heart, of lumps.
WATER = 0.68
_BODY = 0.62
_LUNG_TOP = 0.10


class Scene:
    """One picture while it is drawn.

    Attributes:
        anatomy: the proportions of the thorax.
        x: the distance of each pixel from the midline to the right, float32 of shape (size, size). So are all others.
        y: the distance of each pixel from the top.
        lungs: the mask of each lung, by side, 0 to 1.
        picture: the brightness of each pixel.
    """

    def __init__(self, size: int, anatomy: Anatomy, rng: np.random.Generator) -> None:
        self.size = size
        self.anatomy = anatomy
        self._angle = float(rng.normal(0, 0.02))
        self._zoom = float(rng.uniform(0.96, 1.05))
        self._shift = rng.normal(0, 0.01, 2)
        u, v = _grid(size)
        sine, cosine = np.float32(np.sin(self._angle)), np.float32(np.cos(self._angle))
        zoom = np.float32(self._zoom)
        self.x: Map = (u * cosine + v * sine) / zoom - np.float32(self._shift[0])
        self.y: Map = (v * cosine - u * sine) / zoom + np.float32(0.5 - self._shift[1])
        self.span: Map = np.abs(self.x)
        self.lungs = {side: self._lung(side) for side in SIDES}
        self.picture: Map = self._draw(rng)

    def inner(self, y: Map | float) -> Map:
        """Returns the distance of the lungs' inner border from the midline."""
        return np.asarray(0.055 + 0.03 * np.square(np.clip(y, 0, 1) - 0.3), dtype=np.float32)

    def outer(self, y: Map | float) -> Map:
        """Returns the distance of the lungs' outer border from the midline."""
        depth = np.clip((np.asarray(y, dtype=np.float32) - _LUNG_TOP) / 0.62, 0, 1.3)
        return np.asarray(0.07 + (self.anatomy.lung_width - 0.07) * np.power(depth, 0.33), dtype=np.float32)

    def floor(self, side: int, span: Map | float) -> Map:
        """Returns the height of the diaphragm at a distance from the midline."""
        top = self.anatomy.diaphragm[0 if side < 0 else 1]
        away = (np.asarray(span, dtype=np.float32) - 0.16) / (self.anatomy.lung_width - 0.16)
        return np.asarray(top + self.anatomy.dome * np.where(away > 0, away**2, 0.25 * away**2), dtype=np.float32)

    def place(self, side: int, across: float, y: float) -> tuple[float, float]:
        """Returns the point of a lung at height `y`, `across` of the way from its inner to its outer border."""
        inner, outer = float(self.inner(y)), float(self.outer(y))
        return side * (inner + across * (outer - inner)), y

    def step(self, distance: Map, softness: float = 0.004) -> Map:
        """Returns 0 where a distance is negative, 1 where it is positive, with a soft edge."""
        edge = np.float32(max(softness, 0.5 / self.size))
        ramp: Map = np.clip(distance / (2 * edge) + np.float32(0.5), 0, 1)
        smooth: Map = ramp * ramp * (3 - 2 * ramp)
        return smooth

    def ellipse(
        self, at: tuple[float, float], radii: tuple[float, float], tilt: float = 0.0, soft: float = 0.01
    ) -> Map:
        """Returns the mask of an ellipse; `tilt` in radians."""
        dx, dy = self.x - np.float32(at[0]), self.y - np.float32(at[1])
        sine, cosine = np.float32(np.sin(tilt)), np.float32(np.cos(tilt))
        along, across = dx * cosine + dy * sine, dy * cosine - dx * sine
        reach = np.sqrt(np.square(along / np.float32(radii[0])) + np.square(across / np.float32(radii[1])))
        return self.step((1 - reach) * np.float32(min(radii)), soft)

    def haze(self, at: tuple[float, float], radii: tuple[float, float]) -> Map:
        """Returns a cloud that fades out from its middle: a two-dimensional Gaussian."""
        dx, dy = (
            (self.x - np.float32(at[0])) / np.float32(radii[0]),
            (self.y - np.float32(at[1])) / np.float32(radii[1]),
        )
        cloud: Map = np.exp(np.float32(-0.5) * (dx * dx + dy * dy))
        return cloud

    def lines(self, paths: list[NDArray[np.float64]], width: float) -> Map:
        """Returns the mask of polylines.

        Args:
            paths: arrays of shape (points, 2) with x and y.
            width: the thickness as a fraction of the picture. Below one pixel the line gets fainter instead.
        """
        canvas = np.zeros((self.size, self.size), dtype=np.uint8)
        pixels = width * self.size
        fixed = [np.round(self._to_pixels(path) * 16).astype(np.int32).reshape(-1, 1, 2) for path in paths]
        cv2.polylines(canvas, fixed, False, 255, max(1, round(pixels)), cv2.LINE_AA, shift=4)
        mask: Map = canvas.astype(np.float32) * np.float32(min(1.0, pixels) / 255)
        return mask

    def texture(self, rng: np.random.Generator, scale: float) -> Map:
        """Returns smooth noise of mean 0 and deviation 1 whose grains are about `scale` large."""
        cells = max(4, round(1 / scale))
        grains = rng.standard_normal((cells, cells), dtype=np.float32)
        smooth: Map = cv2.resize(grains, (self.size, self.size), interpolation=cv2.INTER_CUBIC)
        return smooth

    def paint(self, mask: Map, brightness: float) -> None:
        """Adds brightness where the mask is."""
        self.picture += mask * np.float32(brightness)

    def fill(self, mask: Map, brightness: float) -> None:
        """Moves the picture towards a brightness, in proportion to the mask: what fills a lung replaces its air."""
        self.picture += np.minimum(mask, 1) * (np.float32(brightness) - self.picture)

    def _to_pixels(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        sine, cosine = np.sin(self._angle), np.cos(self._angle)
        a = (points[:, 0] + self._shift[0]) * self._zoom
        b = (points[:, 1] - 0.5 + self._shift[1]) * self._zoom
        points = np.stack([a * cosine - b * sine, a * sine + b * cosine], axis=1)
        return (points + 0.5) * self.size - 0.5

    def _lung(self, side: int) -> Map:
        inside = self.step(self.outer(self.y) - self.span, 0.006) * self.step(self.span - self.inner(self.y), 0.01)
        mask = inside * self.step(self.floor(side, self.span) - self.y, 0.008) * self.step(self.y - _LUNG_TOP, 0.01)
        return mask * (self.x * side > 0)

    def heart_shape(self) -> Map:
        """Returns the mask of the heart."""
        (wide, high), left = self.anatomy.heart, self.anatomy.heart_x
        return self.ellipse((left, 0.665), (wide * 1.05, high), tilt=0.45, soft=0.012)

    def _draw(self, rng: np.random.Generator) -> Map:
        y, span = self.y, self.span
        shoulder = np.clip((y - 0.01) / 0.13, 0, 1)
        body = self.step(0.13 + 0.36 * shoulder**1.5 - span, 0.012)
        lungs = self.lungs[-1] + self.lungs[1]
        self.picture = body * (_BODY + 0.05 * self.step(y - 0.8, 0.1) - 0.05 * self.step(span - 0.4, 0.06))
        self.picture -= lungs * np.float32(self.anatomy.air)
        self._draw_vessels(rng, lungs)
        self._draw_bones(lungs)
        heart = self.heart_shape()
        middle = self.step(0.07 - span, 0.02) * self.step(y - 0.1, 0.03)
        knob = self.ellipse((0.062, 0.345), (0.035, 0.045), soft=0.012)
        shadow = np.maximum(np.maximum(heart, knob), middle)
        self.fill(shadow * np.maximum(lungs, 0.5 * heart), WATER)
        self.paint(self.step(0.016 - span, 0.006) * self.step(0.36 - y, 0.02), -0.10)  # trachea
        self.paint(self.ellipse((0.17, self.anatomy.diaphragm[1] + 0.075), (0.05, 0.022)), -0.16)  # gas in the stomach
        for side in SIDES:
            at = (side * 0.21, 0.66)
            self.paint(self.ellipse(at, (0.13, 0.12), soft=0.03) * body, self.anatomy.breasts)
        self.picture += self.texture(rng, 0.14) * np.float32(0.012) * body
        return self.picture

    def _draw_vessels(self, rng: np.random.Generator, lungs: Map) -> None:
        paths = []
        for side in SIDES:
            for _ in range(11):
                turn, reach = rng.uniform(-1.25, 1.25), rng.uniform(0.12, 0.26)
                t = np.linspace(0, 1, 6)[:, None]
                end = np.array([np.cos(turn) * side, np.sin(turn) * 1.2]) * reach
                bend = rng.normal(0, 0.02, 2) * np.sin(np.pi * t)
                paths.append(np.array([side * 0.085, 0.46]) + t * end + bend)
        branches = self.lines(paths, 0.006)
        hila = self.haze((-0.095, 0.45), (0.025, 0.05)) + self.haze((0.095, 0.44), (0.025, 0.05))
        self.paint(lungs * (0.09 * branches + 0.16 * hila), self.anatomy.vessels)

    def _draw_bones(self, lungs: Map) -> None:
        cage = self.step(self.outer(self.y) + 0.02 - self.span, 0.01) * self.step(self.y - 0.09, 0.01)
        cage *= self.step(0.86 - self.y, 0.03)
        behind = (self.y - 0.42 * self.span + 0.9 * self.span**2) / 0.074
        front = (self.y + 0.30 * self.span) / 0.088
        self.paint(cage * _bands(behind, 0.17) * self.step(self.span - 0.04, 0.01), 0.085)
        self.paint(cage * _bands(front, 0.15) * self.step(self.span - 0.17, 0.03) * lungs, 0.045)
        spine = self.step(0.042 - self.span, 0.006)
        self.paint(spine, 0.06)
        self.paint(spine * _bands(self.y / 0.055, 0.12), 0.05)
        t = np.linspace(0, 1, 12)[:, None]
        for side in SIDES:
            start, end = np.array([side * 0.035, 0.185]), np.array([side * 0.34, 0.105])
            curve = np.array([0.0, 0.012]) * np.sin(2 * np.pi * t)
            self.paint(self.lines([start + t * (end - start) + curve], 0.03), 0.10)


def finish(scene: Scene, size: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Turns a drawn scene into a picture with contrast, quantum noise and 8 bits.

    Args:
        scene: the drawn scene, of the size of the picture or larger.
        size: the side of the picture in pixels.
        rng: the generator that draws exposure and noise.

    Returns:
        Grey uint8 array of shape (size, size).
    """
    picture = np.clip(scene.picture, 0, 1)
    if scene.size != size:
        picture = cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA)
    gain, gamma = np.float32(rng.uniform(0.98, 1.14)), np.float32(rng.uniform(0.9, 1.1))
    picture = np.power(picture, gamma) * gain + np.float32(0.02)
    picture += rng.standard_normal(picture.shape, dtype=np.float32) * np.float32(0.016)
    exposed: NDArray[np.uint8] = np.clip(picture * 255 + 0.5, 0, 255).astype(np.uint8)
    return exposed


def _bands(phase: NDArray[np.floating[Any]], width: float) -> Map:
    """Returns a bright band at every whole number of the phase; `width` is its spread, in periods."""
    off = phase - np.round(phase)
    bands: Map = np.exp(np.float32(-0.5) * np.square(off / np.float32(width)))
    return bands


@lru_cache(maxsize=2)
def _grid(size: int) -> tuple[Map, Map]:
    """Returns the pixels' positions from the middle of the picture, right and down."""
    at = (np.arange(size, dtype=np.float32) + np.float32(0.5)) / np.float32(size) - np.float32(0.5)
    u, v = np.meshgrid(at, at)
    return u, v
