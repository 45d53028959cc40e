"""Findings on synthetic images: where they are, and how large."""

from __future__ import annotations

import numpy as np
import pytest

from cxr_spark.sample_data.anatomy import Anatomy
from cxr_spark.sample_data.patterns import PATTERNS, draw, reshaped
from cxr_spark.sample_data.thorax import Scene


@pytest.mark.parametrize("finding", PATTERNS)
def test_a_finding_changes_the_picture_inside_its_boxes(finding: str) -> None:
    """Beside the same thorax without it, most of what a finding changes lies in its boxes."""
    for seed in range(4):
        side = (-1, 1)[seed % 2]
        anatomy = Anatomy.of_patient(np.random.default_rng(seed), female=False)
        ill = Scene(256, reshaped(anatomy, {finding: side}), np.random.default_rng(seed))
        boxes = draw(ill, {finding: side}, np.random.default_rng(seed))
        healthy = Scene(256, anatomy, np.random.default_rng(seed))
        change = np.abs(ill.picture - healthy.picture)
        inside = np.zeros_like(change, dtype=bool)
        for name, box in boxes:
            assert name == finding
            left, top = round(box.x * 256), round(box.y * 256)
            inside[top : top + round(box.height * 256), left : left + round(box.width * 256)] = True
        assert change[inside].mean() > 0.02
        assert change[inside].mean() > 3 * change[~inside].mean()


def test_one_sided_findings_are_on_their_side() -> None:
    one_sided = set(PATTERNS) - {"Cardiomegaly", "Emphysema", "Edema", "Fibrosis", "Hernia"}
    for finding in one_sided:
        for side in (-1, 1):
            scene = Scene(128, reshaped(Anatomy(), {finding: side}), np.random.default_rng(1))
            for _, box in draw(scene, {finding: side}, np.random.default_rng(1)):
                assert np.sign(box.x + box.width / 2 - 0.5) == side, finding


def test_sizes_tell_mass_from_nodule_and_a_large_heart_from_a_normal_one() -> None:
    for seed in range(4):
        rng = np.random.default_rng(seed)
        scene = Scene(320, Anatomy(), rng)
        sizes = {name: box.width * 40 for name, box in draw(scene, {"Mass": -1, "Nodule": 1}, rng)}  # cm of 40
        assert sizes["Nodule"] < 3 < sizes["Mass"]
        # Cardiothoracic ratio: over 0.5 is an enlarged heart, on a picture of either kind.
        for view in (Anatomy(), Anatomy().lying()):
            large = reshaped(view, {"Cardiomegaly": 1})
            for anatomy, enlarged in ((view, False), (large, True)):
                scene = Scene(320, anatomy, rng)
                heart = np.flatnonzero((scene.heart_shape() > 0.5).any(axis=0))
                lungs = np.flatnonzero(((scene.lungs[-1] + scene.lungs[1]) > 0.5).any(axis=0))
                assert (np.ptp(heart) / np.ptp(lungs) > 0.5) == enlarged
