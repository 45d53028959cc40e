from __future__ import annotations

import gzip

import cv2
import numpy as np
import pytest

from cxr_spark.errors import DataError
from cxr_spark.explanation.box_lists import read_box_list
from cxr_spark.explanation.boxes import Box, in_square
from cxr_spark.imaging.resize import resize

HEADER = "Image Index,Finding Label,Bbox [x,y,w,h],,,\n"


def listed(*rows: str) -> bytes:
    return (HEADER + "".join(f"{row}\n" for row in rows)).encode()


def test_nih_layout_and_names() -> None:
    rows = listed("a.png,Infiltrate,1,2,3,4", "a.png,Mass,5.5,6,7,8", "b.png,Mass,1e1,0,1,1,,,")
    found = read_box_list(gzip.compress(rows), "boxes.csv.gz", 1024, ())
    assert found.by_image == {
        "a.png": {"Infiltration": (Box(1, 2, 3, 4),), "Mass": (Box(5.5, 6, 7, 8),)},
        "b.png": {"Mass": (Box(10, 0, 1, 1),)},
    }
    assert found.counts == {"Infiltration": 1, "Mass": 2}
    assert found.of(("Mass", "Edema"), "boxes.csv").by_image["a.png"] == {"Mass": (Box(5.5, 6, 7, 8),)}
    with pytest.raises(DataError, match="none in common"):
        found.of(("Edema",), "boxes.csv")


def test_real_list(real_data) -> None:
    found = read_box_list((real_data / "labels" / "BBox_List_2017.csv.gz").read_bytes(), "boxes", 1024, ())
    assert found.counts.total() == 984
    assert len(found.by_image) == 880
    assert found.counts["Infiltration"] == 123
    assert found.by_image["00013118_008.png"]["Atelectasis"][0].x == pytest.approx(225.084745762712)


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("a.png,Mass,1,2,3", "line 2"),
        ("a.png,Mass,one,2,3,4", "'one' is not a number"),
        ("a.png,Mass,nan,2,3,4", "finite"),
        ("a.png,Mass,1,2,0,4", "w, h above 0"),
        ("a.png,Mass,-1,2,3,4", "x, y from 0"),
        ("a.png,Mass,1024,2,3,4", "1024 x 1024"),
        (",Mass,1,2,3,4", "Image Index: is empty"),
        ("a.png,,1,2,3,4", "Finding Label: is empty"),
    ],
)
def test_wrong_box_is_told_with_its_line(row: str, told: str) -> None:
    with pytest.raises(DataError, match="line 2") as error:
        read_box_list(listed(row), "boxes.csv", 1024, ())
    assert told in str(error.value)


@pytest.mark.parametrize("data", [b"", b"Image Index,Finding Labels\na.png,Mass\n", b"\x89PNG\r\n\x1a\n\0\0"])
def test_other_files_are_refused(data: bytes) -> None:
    with pytest.raises(DataError, match=r"boxes\.csv"):
        read_box_list(data, "boxes.csv", 1024, ())


RSNA = "patientId,x,y,width,height,Target\n"


@pytest.mark.parametrize(
    ("findings", "finding"),
    [(("Pneumonia",), "Pneumonia"), (("Normal", "Lung Opacity", "No Lung Opacity / Not Normal"), "Lung Opacity")],
)
def test_rsna_label_file_has_boxes(findings, finding) -> None:
    data = RSNA + "p1,264.0,152.0,213.0,379.0,1\np2,,,,,0\np1,562.0,152.0,256.0,453.0,1\n"
    found = read_box_list(data.encode(), "labels.csv", 1024, findings)
    assert found.by_image == {"p1": {finding: (Box(264, 152, 213, 379), Box(562, 152, 256, 453))}}
    assert found.counts == {finding: 2}
    assert found.of(findings, "labels.csv").counts == {finding: 2}


@pytest.mark.parametrize(("row", "told"), [("p1,1,2,3,,1", "3 of the four"), ("p1,1,2,0,4,1", "above 0")])
def test_wrong_rsna_box_is_told_with_its_line(row, told) -> None:
    with pytest.raises(DataError, match="line 2") as error:
        read_box_list((RSNA + row + "\n").encode(), "labels.csv", None, ("Pneumonia",))
    assert told in str(error.value)


@pytest.mark.parametrize("mode", ["squash", "pad", "crop"])
@pytest.mark.parametrize(("height", "width"), [(300, 200), (200, 301), (256, 256)])
def test_box_follows_the_image(mode, height, width) -> None:
    """A white rectangle in the original is where the box says it is in the prepared square."""
    box = Box(60, 70, 50, 40)
    image = np.zeros((height, width), np.uint8)
    image[70:110, 60:110] = 255
    size = 128
    placed = in_square(box, drawn_on=None, height=height, width=width, size=size, mode=mode)
    x, y, w, h = cv2.boundingRect((resize(image, size, mode) > 127).astype(np.uint8))
    np.testing.assert_allclose(np.array(placed) * size, (x, y, w, h), atol=1.01)


def test_box_of_another_scale_and_box_that_is_cut_off() -> None:
    """NIH's boxes are of 1024 pixels, whatever copy of the image is at hand."""
    placed = in_square(Box(256, 512, 128, 64), drawn_on=1024, height=64, width=64, size=32, mode="squash")
    assert placed == pytest.approx((0.25, 0.5, 0.125, 0.0625))
    cut = {"drawn_on": None, "height": 100, "width": 300, "size": 32, "mode": "crop"}
    assert in_square(Box(0, 0, 90, 50), **cut) is None
    assert in_square(Box(50, 0, 100, 50), **cut) == pytest.approx((0, 0, 0.5, 0.5))


def test_boxes_as_spreadsheets_write_them() -> None:
    plain = listed("a.png,Infiltrate,1.5,2,3,4", "b.png,Mass,5,6,7,8")
    dressed = "Image Index;finding label;Bbox [x;y;w;h]\na.png;infiltrate;1,5;2;3;4\nb.png;mass;5;6;7;8\n"
    expected = read_box_list(plain, "boxes.csv", 1024, ())
    assert read_box_list(dressed.encode("utf-16"), "boxes.csv", 1024, ()) == expected
    spelled = read_box_list(listed("a.png,pleural thickening,1,2,3,4"), "boxes.csv", 1024, ())
    assert spelled.counts == {"Pleural_Thickening": 1}


def test_boxes_are_found_by_names_that_are_written_otherwise() -> None:
    lines = ["a.png", "images/b.png", "C:\\x\\C.PNG", "d", "e.png"]
    data = "Image Index,Finding Label,x,y,w,h\n" + "".join(f"{name},Mass,1,2,3,4\n" for name in lines)
    boxes = read_box_list(data.encode(), "boxes", None, ["Mass"])
    images = ["a.png", "b.png", "c.png", "d.png", "p1/e.png", "p2/e.png", "f.png"]  # e.png could be two images
    found, warnings = boxes.for_images(images)
    assert sorted(found.by_image) == ["a.png", "b.png", "c.png", "d.png", "e.png"]
    assert found.counts == boxes.counts
    assert [line.partition(", such as")[0] for line in warnings] == [
        "1 images were matched with their boxes by the last parts of their paths",
        "1 images were matched with their boxes without regard to upper and lower case",
        "1 images were matched with their boxes without regard to the suffix (such as .png and .jpg)",
    ]
    assert boxes.for_images(lines) == (boxes, [])
