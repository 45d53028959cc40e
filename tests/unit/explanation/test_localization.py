from __future__ import annotations

import numpy as np
import pytest

from cxr_spark.explanation.boxes import Box
from cxr_spark.explanation.localization import by_finding, compare_with_boxes, on_square, summarise
from cxr_spark.models.metadata import Preprocessing

WHOLE = Preprocessing(input_size=64, stored_size=64)
CROPPED = Preprocessing(input_size=32, stored_size=64, crop=True)


def hot(row: int, column: int, cells: int = 4) -> np.ndarray:
    cam = np.zeros((cells, cells), np.float32)
    cam[row, column] = 3
    return cam


def test_maximum_in_the_box_or_not() -> None:
    quarter = Box(0.25, 0.5, 0.25, 0.25)
    assert compare_with_boxes("Mass", hot(2, 1), [quarter], WHOLE, 0.5).hit
    assert not compare_with_boxes("Mass", hot(1, 2), [quarter], WHOLE, 0.5).hit
    assert compare_with_boxes("Mass", hot(1, 2), [quarter, Box(0.6, 0.3, 0.1, 0.1)], WHOLE, 0.5).hit


def test_a_maximum_at_the_edge_is_not_pulled_into_the_corner() -> None:
    assert compare_with_boxes("Mass", hot(0, 3), [Box(0.8, 0.05, 0.15, 0.15)], WHOLE, 0.5).hit


def test_network_that_sees_the_middle_only() -> None:
    square = on_square(np.ones((2, 2), np.float32), CROPPED, 64)
    assert square[16:48, 16:48].min() == 1
    assert square.sum() == 32 * 32
    assert compare_with_boxes("Mass", hot(0, 0), [Box(0.25, 0.25, 0.125, 0.125)], CROPPED, 0.5).hit
    assert not compare_with_boxes("Mass", hot(0, 0), [Box(0.0, 0.0, 0.125, 0.125)], CROPPED, 0.5).hit


def test_overlaps_by_hand() -> None:
    """Half of the image is hot; the box is a quarter of it, half inside."""
    cam = np.zeros((512, 512), np.float32)
    cam[:, :256] = 2
    met = compare_with_boxes("Mass", cam, [Box(0.25, 0, 0.5, 0.5)], WHOLE, 180 / 255)
    assert met.iou == pytest.approx(0.125 / 0.625, abs=1e-3)
    assert met.best_iou == pytest.approx(0.2, abs=1e-3)
    assert met.best_iobb == pytest.approx(0.25, abs=1e-3)
    assert met.area == pytest.approx(0.25)


def test_regions_are_judged_one_by_one() -> None:
    cam = np.zeros((512, 512), np.float32)
    cam[100:200, 100:200] = 1
    cam[300:500, 300:500] = 0.9
    met = compare_with_boxes("Mass", cam, [Box(100 / 512, 100 / 512, 100 / 512, 100 / 512)], WHOLE, 0.5)
    assert met.best_iou == pytest.approx(1)
    assert met.iou == pytest.approx(0.2)


def test_map_without_evidence_and_box_out_of_sight() -> None:
    nothing = compare_with_boxes("Mass", np.zeros((2, 2), np.float32), [Box(0, 0, 1, 1)], WHOLE, 0.5)
    unseen = compare_with_boxes("Mass", hot(0, 0), [None], WHOLE, 0.5)
    assert (nothing.hit, nothing.evidence, nothing.iou) == (False, False, 0.0)
    found = by_finding([nothing, unseen, compare_with_boxes("Edema", hot(0, 0), [Box(0, 0, 0.25, 0.25)], WHOLE, 0.5)])
    assert found["Mass"]["images"] == 1
    assert found["Mass"]["images_with_boxes_out_of_sight"] == 1
    assert found["Mass"]["images_without_evidence"] == 1
    assert found["Mass"]["pointing_game"] == 0
    assert found["Edema"]["pointing_game"] == 1
    assert found["Edema"]["pointing_game_by_chance"] == pytest.approx(1 / 16)


def test_nothing_to_sum_up() -> None:
    found = summarise([])
    assert found["images"] == 0
    assert found["pointing_game"] is None
