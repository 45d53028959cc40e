from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from cxr_spark.errors import UsageError
from cxr_spark.explanation.boxes import Box
from cxr_spark.explanation.layers import check_layers
from cxr_spark.explanation.localization import BoxOverlap
from cxr_spark.explanation.names import file_name
from cxr_spark.explanation.overlay import SIDE, Caption, HeatMap, contact_sheet, overlay
from cxr_spark.explanation.shown import ShownFinding
from cxr_spark.models.metadata import ModelMetadata, Preprocessing

LEFT, RIGHT, TOP = 14, 536, 84


def picture(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)


def caption(**changes) -> Caption:
    return Caption(**{"image_index": "a.png", "labels": (), "note": "", **changes})


def mass(heat: np.ndarray, boxes=(), finding: str = "Mass") -> HeatMap:
    overlap = BoxOverlap(finding, len(boxes), visible=True) if boxes else None
    return HeatMap(ShownFinding(finding, 0.5, True, None, overlap), heat, boxes)


def test_original_at_the_left_heat_at_the_right() -> None:
    image = np.random.default_rng(1).integers(0, 255, (SIDE, SIDE), dtype=np.uint8)
    heat = np.zeros((SIDE, SIDE), np.float32)
    heat[:100] = 1
    page = picture(overlay(image, [mass(heat)], caption()))
    left, right = (page[TOP : TOP + SIDE, x : x + SIDE] for x in (LEFT, RIGHT))
    np.testing.assert_array_equal(left, np.repeat(image[:, :, None], 3, axis=2))
    np.testing.assert_array_equal(right[100:], left[100:])  # no evidence: the image is as it was
    assert (right[:100, :, 1] - right[:100, :, 2]).min() > 80  # the strongest colour is yellow, on any grey


def test_a_map_without_evidence_is_told_and_has_no_colours_to_explain() -> None:
    image, heat = np.full((SIDE, SIDE), 100, np.uint8), np.zeros((SIDE, SIDE), np.float32)
    heat_of_one = np.copy(heat)
    heat_of_one[0, 0] = 1
    for shown, coloured in ((heat, False), (heat_of_one, True)):
        foot = picture(overlay(image, [mass(shown)], caption()))[TOP + SIDE :, RIGHT:]
        assert (foot < 128).any()  # something is written
        assert (np.ptp(foot, axis=2) > 100).any() == coloured


def test_boxes_are_where_they_should_be() -> None:
    image, heat = np.full((SIDE, SIDE), 100, np.uint8), np.zeros((SIDE, SIDE), np.float32)
    other = mass(heat, [Box(0, 0, 0.1, 0.1)], "Edema")
    page = picture(overlay(image, [mass(heat, [Box(0.25, 0.5, 0.25, 0.25)]), other], caption()))
    for left in (LEFT, RIGHT):
        reds = red(page[TOP : TOP + SIDE, left : left + SIDE])
        np.testing.assert_allclose([*reds.min(axis=0), *reds.max(axis=0)], [256, 128, 383, 256], atol=3)


def red(part: np.ndarray) -> np.ndarray:
    """The places of the pixels in the colour of boxes."""
    return np.argwhere((part == (0xD5, 0x5E, 0x00)).all(axis=2))


def test_each_finding_has_its_own_map_beside_its_own_boxes() -> None:
    """The second row belongs to the second finding: its map, its box, and nothing of the first one's."""
    image = np.full((SIDE, SIDE), 100, np.uint8)
    upper, lower = np.zeros((2, SIDE, SIDE), np.float32)
    upper[:100], lower[-100:] = 1, 1
    boxed = mass(lower, [Box(0.5, 0.75, 0.25, 0.125)], "Edema")
    page = picture(overlay(image, [mass(upper), boxed], caption()))
    first, second = page[TOP : TOP + SIDE, RIGHT : RIGHT + SIDE], page[-SIDE - 34 : -34, RIGHT : RIGHT + SIDE]
    assert (np.ptp(first, axis=2) > 50)[:100].all()
    assert not np.ptp(first[100:], axis=2).any()  # no colour of a map, no box
    assert (np.ptp(second[-100:], axis=2) > 50).mean() > 0.9
    assert not np.ptp(second[:380], axis=2).any()
    for left in (LEFT, RIGHT):
        reds = red(page[-SIDE - 34 : -34, left : left + SIDE])
        np.testing.assert_allclose([*reds.min(axis=0), *reds.max(axis=0)], [384, 256, 448, 383], atol=3)


@pytest.mark.parametrize("text", ["x" * 5000, "a\nb\0c\x1b[31m", "日本/../é", ""])
def test_any_text_is_drawn(text: str) -> None:
    image, heat = np.zeros((SIDE, SIDE), np.uint8), np.ones((SIDE, SIDE), np.float32)
    drawn = mass(heat, [Box(0.97, 0.99, 0.03, 0.01)], text)
    page = picture(overlay(image, [drawn], caption(image_index=text, labels=[text])))
    assert page.shape == (630, 1062, 3)
    assert (page[:80, -12:] == 255).all()  # nothing runs out of the page


def test_contact_sheet_shows_the_strongest_channels() -> None:
    maps = np.zeros((100, 4, 4), np.float32)
    maps[30:94] = np.arange(16).reshape(4, 4)
    page = picture(contact_sheet(maps, "layer1", "a.png"))
    assert page[62, 14].tolist() == [0, 0, 0]
    assert page[62 + 95, 14 + 95].tolist() == [255, 255, 255]
    assert picture(contact_sheet(maps[:1], "conv1", "a.png")).shape[1] < page.shape[1]


def test_plain_names_are_kept_and_no_name_leaves_the_folder() -> None:
    assert file_name("00000013_005.png") == "00000013_005.png"
    hostile = [
        "../../etc/passwd", "/etc/passwd", "..", ".", "", "a/b.png", "a_b.png", "a:b.png", "_hidden.png", ".hidden.png",
        "CheXpert-v1.0-small/valid/patient64541/study1/view1_frontal.jpg", "a\0.png", "a\n.png", "x" * 3000,
        "C:\\x.png", "%2e%2e%2f", "é.png", "\ud800.png", "a", "a.PNG", "*.png", "{a}.png",
    ]  # fmt: skip
    names = [file_name(name) for name in hostile]
    assert len(set(names)) == len(hostile)
    for name in names:
        assert "/" not in name
        assert name[0].isalnum()
        assert name.endswith(".png")
        assert len(name) < 200
        assert name.isascii()
        assert name.isprintable()


def metadata(architecture: str = "resnet50") -> ModelMetadata:
    preprocessing = Preprocessing(input_size=64, stored_size=64)
    return ModelMetadata(architecture=architecture, findings=("Mass", "Edema"), preprocessing=preprocessing)


def test_layers_and_their_shapes() -> None:
    assert check_layers(metadata(), ["layer1", "conv1"]) == {"layer1": (256, 16, 16), "conv1": (64, 32, 32)}
    assert check_layers(metadata("densenet121"), ["features"]) == {"features": (1024, 2, 2)}


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("layer44", "did you mean layer4"),
        ("zzzz", "at its top are conv1"),
        ("fc", "is not a map"),
        ("fc.output", "is not a map"),
    ],
)
def test_layers_that_cannot_be_shown(name: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        check_layers(metadata(), [name])
