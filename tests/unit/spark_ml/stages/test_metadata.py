import json

import pytest
from pyspark.sql.types import BinaryType, StringType, StructField, StructType

from cxr_spark.augmentation.kinds import Crop, HorizontalFlip
from cxr_spark.errors import DataError
from cxr_spark.spark_ml.stages.metadata import ImageColumn, has_image_metadata, image_column, pending_augmentations


def schema(metadata=None, kind=None) -> StructType:
    return StructType([StructField("name", StringType()), StructField("pixels", kind or BinaryType(), True, metadata)])


@pytest.mark.parametrize(
    "column",
    [
        ImageColumn((224, 200)),
        ImageColumn((224, 200), is_bgr=True),
        ImageColumn(),
        ImageColumn(is_bgr=True),
        ImageColumn((32, 32), False, (HorizontalFlip(p=0.25), Crop(size=16))),
    ],
)
def test_metadata_comes_back_through_spark_s_own_json(column):
    written = StructType.fromJson(json.loads(schema(column.to_metadata()).json()))
    assert image_column(written, "pixels") == column
    assert has_image_metadata(written["pixels"])
    assert pending_augmentations(written["pixels"]) == list(column.augmentations)


def test_the_documented_form():
    assert ImageColumn((20, 24)).to_metadata() == {"cxr": {"dtype": "uint8", "shape": [20, 24]}}
    assert ImageColumn((20, 24), True).to_metadata() == {"cxr": {"dtype": "float32", "shape": [3, 20, 24]}}


def test_a_column_without_metadata_holds_square_grey_images():
    column = image_column(schema(), "pixels")
    assert column == ImageColumn()
    assert column.shape_of(224 * 224) == (224, 224)
    for length in (0, 2, 224 * 224 + 1):
        assert column.shape_of(length) is None
    assert not has_image_metadata(schema()["pixels"])
    assert pending_augmentations(schema()["pixels"]) == []


def test_the_shape_of_the_network_s_input():
    assert ImageColumn(is_bgr=True).shape_of(4 * 3 * 25) == (3, 5, 5)
    assert ImageColumn((2, 3), is_bgr=True).shape_of(4 * 3 * 6) == (3, 2, 3)
    assert ImageColumn((2, 3), is_bgr=True).shape_of(4 * 3 * 9) is None


def test_augmentations_are_kept_in_order_and_numbered_by_kind():
    column = ImageColumn((9, 9))
    for augmentation in (HorizontalFlip(), Crop(size=5), HorizontalFlip(p=0.1)):
        column = column.with_augmentation(augmentation)
    assert [(a.name, a.stream) for a in column.augmentations] == [
        ("random_horizontal_flip", 0),
        ("random_crop", 0),
        ("random_horizontal_flip", 1),
    ]


@pytest.mark.parametrize(
    "entry",
    [
        {},
        {"dtype": "int8"},
        {"dtype": "uint8", "shape": "25"},
        {"dtype": "uint8", "shape": [20]},
        {"dtype": "uint8", "shape": [20, -1]},
        {"dtype": "float32", "shape": [20, 20]},
        {"dtype": "float32", "shape": [4, 20, 20]},
        {"dtype": "uint8", "augmentations": ['{"name": "os.system"}']},
        {"dtype": "uint8", "augmentations": 3},
        "uint8",
        [1],
    ],
)
def test_metadata_of_another_make_is_refused(entry):
    with pytest.raises(DataError, match="column 'pixels' has image metadata"):
        image_column(schema({"cxr": entry}), "pixels")


def test_wrong_columns_are_named():
    with pytest.raises(DataError, match="no column 'image': the DataFrame has name, pixels"):
        image_column(schema(), "image")
    with pytest.raises(DataError, match="column 'pixels' is string: expected binary"):
        image_column(schema(kind=StringType()), "pixels")
