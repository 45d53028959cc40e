"""Draws the sign of each of NIH's 14 findings at the place where a radiologist would look for it.

Each function paints one sign into a scene and returns the places where it is. `side` is the lung that the sign is in:
-1 for the right one, +1 for the left one. Signs that show on both sides, or in the middle, leave it aside.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from cxr_spark.sample_data.anatomy import SIDES, Anatomy
from cxr_spark.sample_data.thorax import WATER, Map, Scene

#: The places of one finding: a mask for each, 0 to 1 in any scale.
Places = list[Map]


def cardiomegaly(scene: Scene, side: int, rng: np.random.Generator) -> Places:
    """Marks the heart, which the anatomy of `large_heart` has drawn too large already."""
    return [scene.heart_shape()]


def emphysema(scene: Scene, side: int, rng: np.random.Generator) -> Places:
    """Marks both lungs, which the anatomy of `overinflated` has drawn too dark and too long already."""
    return [np.maximum(scene.lungs[-1], scene.lungs[1])]


def edema(scene: Scene, side: int, rng: np.random.Generator) -> Places:
    """Draws a haze around both hila, like the wings of a bat, and short septal lines at both bases."""
    places = []
    for wing in SIDES:
        cloud = scene.haze((wing * 0.15, 0.46), (0.062, 0.12)) * scene.lungs[wing]
        scene.fill(cloud * np.clip(0.75 + 0.12 * scene.texture(rng, 0.04), 0, 1), WATER)
        starts = [scene.place(wing, 0.8, y) for y in np.linspace(0.60, 0.72, 4)]
        scene.paint(scene.lines([np.array([(x, y), (x + wing * 0.05, y)]) for x, y in starts], 0.006), 0.18)
        places.append(cloud)
    return places


def infiltration(scene: Scene, side: int, rng: np.random.Generator) -> Places:
    """Draws an ill-defined patch of mottles in the middle of one lung."""
    at = scene.place(side, rng.uniform(0.45, 0.65), rng.uniform(0.42, 0.54))
    patch = scene.haze(at, (0.055, 0.075)) * scene.lungs[side]
    scene.fill(patch * np.clip(0.45 + 0.55 * scene.texture(rng, 0.028), 0, 1), WATER)
    return [patch]


def consolidation(scene: Scene, side: int, rng: np.random.Generator) -> Places:
    """Draws a dense, even upper lobe that ends sharply at its fissure."""
    fissure = rng.uniform(0.38, 0.43)
    below = np.float32(fissure) - scene.y + np.float32(rng.uniform(-0.08, 0.08)) * (scene.span - 0.2)
    upper = scene.y - np.float32(fissure - 0.15) + 0.012 * scene.texture(rng, 0.07)
    lobe = scene.lungs[side] * scene.step(below, 0.004) * scene.step(upper, 0.04)
    lobe *= scene.step(scene.span - 0.115, 0.035)
    scene.fill(0.85 * lobe, WATER)
    return [lobe]


def pneumonia(scene: Scene, side: int, rng: np.random.Generator) -> Places:
    """Draws fluffy clouds in one lower lobe, with the dark branches of bronchi that still hold air."""
    x, y = scene.place(side, rng.uniform(0.5, 0.62), rng.uniform(0.64, 0.68))
    offsets = rng.normal(0, 0.03, (5, 2))
    clouds = np.sum([scene.haze((x + dx, y + dy), (0.042, 0.036)) for dx, dy in offsets], axis=0, dtype=np.float32)
    clouds = np.minimum(clouds, 1) * scene.lungs[side]
    scene.fill(0.85 * clouds, WATER)
    root = np.array([x - side * 0.06, y - 0.06])
    tips = [np.array([x + side * reach, y + drop]) for reach, drop in ((0.06, -0.02), (0.05, 0.03), (0.01, 0.055))]
    scene.paint(scene.lines([np.array([root, tip]) for tip in tips], 0.009) * clouds, -0.22)
    return [clouds]


def atelectasis(scene: Scene, side: int, rng: np.random.Generator) -> Places:
    """Draws plates of collapsed lung above a raised diaphragm."""
    top = scene.anatomy.diaphragm[0 if side < 0 else 1]
    slope = side * rng.uniform(-0.03, 0.05)
    paths = []
    for above in (0.035, 0.075, 0.115)[: int(rng.integers(2, 4))]:
        start = scene.place(side, rng.uniform(0.24, 0.32), top - above)
        end = scene.place(side, rng.uniform(0.80, 0.9), top - above - slope)
        paths.append(np.array([start, end]))
    plates = scene.lines(paths, 0.015) * scene.lungs[side]
    scene.fill(plates, WATER + 0.08)
    return [plates]


def raised_on_one_side(anatomy: Anatomy, side: int) -> Anatomy:
    """Returns the anatomy with the diaphragm pulled up below a collapsed lung."""
    return anatomy.with_raised_diaphragm(side, 0.045)


def fibrosis(scene: Scene, side: int, rng: np.random.Generator) -> Places:
    """Draws a net of coarse lines, like a honeycomb, in the outer half of both bases."""
    places = []
    pitch = rng.uniform(0.030, 0.036)
    warp = 0.010 * scene.texture(rng, 0.09)
    a, b = (scene.x + 0.6 * scene.y + warp) / pitch, (scene.x - 0.6 * scene.y - warp) / pitch
    net = np.maximum(np.exp(-40 * np.square(a - np.round(a))), np.exp(-40 * np.square(b - np.round(b))))
    for lung in SIDES:
        zone = scene.lungs[lung] * scene.step(scene.y - 0.56, 0.05) * scene.step(scene.span - 0.19, 0.04)
        scene.fill(0.75 * zone * net.astype(np.float32), WATER)
        places.append(zone)
    return places


def pleural_thickening(scene: Scene, side: int, rng: np.random.Generator) -> Places:
    """Draws a bright, uneven rind along the outer wall of one lung."""
    thick = np.float32(rng.uniform(0.028, 0.038)) + np.float32(0.005) * scene.texture(rng, 0.08)
    rind = scene.lungs[side] * scene.step(thick - (scene.outer(scene.y) - scene.span), 0.004)
    rind *= scene.step(scene.y - np.float32(rng.uniform(0.27, 0.33)), 0.03) * scene.step(0.66 - scene.y, 0.03)
    scene.fill(rind, WATER + 0.10)
    return [rind]


def mass(scene: Scene, side: int, rng: np.random.Generator) -> Places:
    """Draws one dense round shadow of more than 3 cm (a picture is about 40 cm wide)."""
    radius = rng.uniform(0.052, 0.068)
    at = scene.place(side, rng.uniform(0.45, 0.6), rng.uniform(0.33, 0.62))
    lump = scene.ellipse(at, (radius, radius * rng.uniform(0.88, 1.12)), rng.uniform(0, np.pi), 0.006)
    scene.fill(lump, WATER + 0.05)
    return [lump]


def nodule(scene: Scene, side: int, rng: np.random.Generator) -> Places:
    """Draws one to three dense dots of less than 3 cm."""
    dots = []
    for across, y in _apart(rng, int(rng.integers(1, 4))):
        dots.append(scene.ellipse(scene.place(side, across, y), (rng.uniform(0.022, 0.028),) * 2, soft=0.004))
        scene.fill(dots[-1], WATER + 0.14)
    return dots


def _apart(rng: np.random.Generator, count: int) -> Iterable[tuple[float, float]]:
    rows = rng.permutation([0.30, 0.40, 0.50, 0.60])[:count]
    return [(float(rng.uniform(0.35, 0.75)), float(row + rng.uniform(-0.03, 0.03))) for row in rows]


def effusion(scene: Scene, side: int, rng: np.random.Generator) -> Places:
    """Draws fluid that fills the costophrenic angle and climbs the outer wall."""
    level = float(scene.floor(side, 0.3)) - rng.uniform(0.05, 0.12)
    climb = np.clip((scene.span - 0.10) / (scene.anatomy.lung_width - 0.10), 0, 1.2) ** 3
    fluid = scene.step(scene.y - (np.float32(level) + 0.03 - np.float32(0.12) * climb), 0.008)
    fluid *= scene.step(scene.outer(scene.y) - scene.span, 0.006) * (scene.x * side > 0.03)
    scene.fill(fluid * (scene.picture < WATER), WATER)
    return [fluid * scene.lungs[side]]


def pneumothorax(scene: Scene, side: int, rng: np.random.Generator) -> Places:
    """Draws air without any markings beside and above the thin bright edge of a fallen lung."""
    gap = np.float32(rng.uniform(0.06, 0.085)) * np.clip(1.15 - (scene.y - 0.1) / 0.55, 0, 1)
    gap = gap + np.float32(0.05) * np.clip(1 - (scene.y - 0.1) / 0.10, 0, 1)
    depth = scene.outer(scene.y) - gap - scene.span  # positive inside the fallen lung
    air = scene.lungs[side] * scene.step(-depth, 0.004) * scene.step(gap - 0.008, 0.004)
    edge = scene.lungs[side] * np.exp(-np.square(depth / np.float32(0.006))) * scene.step(gap - 0.012, 0.004)
    scene.fill(0.85 * air, 0.07)
    scene.fill(0.8 * edge, WATER)
    return [air]


def hernia(scene: Scene, side: int, rng: np.random.Generator) -> Places:
    """Draws a stomach that slid up behind the heart: a thick wall around air above fluid."""
    at = (float(rng.uniform(0.0, 0.045)), float(min(scene.anatomy.diaphragm) - rng.uniform(0.055, 0.075)))
    radius = float(rng.uniform(0.068, 0.082))
    sac = scene.ellipse(at, (radius, radius * 0.9), soft=0.006)
    air = scene.ellipse(at, (radius * 0.78, radius * 0.68), soft=0.005) * scene.step(np.float32(at[1]) - scene.y, 0.003)
    scene.fill(sac, WATER + 0.14)
    scene.fill(0.9 * air, 0.22)
    return [sac]


def large_heart(anatomy: Anatomy, side: int) -> Anatomy:
    """Returns the anatomy with a heart that is wider and higher than a healthy one."""
    wide, high = anatomy.heart
    return replace(anatomy, heart=(wide * 1.55, high * 1.2), heart_x=anatomy.heart_x + 0.02)


def overinflated(anatomy: Anatomy, side: int) -> Anatomy:
    """Lungs darker and longer, the diaphragm flat and low, the heart narrow, few vessels."""
    right, left = anatomy.diaphragm
    return replace(
        anatomy,
        diaphragm=(right + 0.075, left + 0.07),
        dome=anatomy.dome * 0.35,
        heart=(anatomy.heart[0] * 0.75, anatomy.heart[1] * 1.1),
        air=anatomy.air + 0.09,
        vessels=anatomy.vessels * 0.4,
    )
