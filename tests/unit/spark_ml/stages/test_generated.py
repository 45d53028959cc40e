"""The Params of the stages, compared with those that version 0.1 wrote by hand."""

import inspect

import pytest
from pydantic import BaseModel, Field
from pyspark.ml.param import Params

from cxr_spark.augmentation.building import AUGMENTATIONS
from cxr_spark.spark_ml.stages import (
    RandomAffine,
    RandomBrightness,
    RandomCrop,
    RandomErasing,
    RandomHorizontalFlip,
    RandomVerticalFlip,
    TrivialAugment,
)
from cxr_spark.spark_ml.stages.generated import add_params

COMMON = ["inputCol", "outputCol", "imageIndexCol", "handleInvalid", "seed", "epoch"]
#: Name, description, converter and default of each Param, by hand; most are of version 0.1.
WRITTEN = {
    RandomHorizontalFlip: [("p", "probability of a flip, 0 to 1", "toFloat", 0.5)],
    RandomVerticalFlip: [("p", "probability of a flip, 0 to 1", "toFloat", 0.5)],
    RandomCrop: [("size", "side of the square result, in pixels", "toInt", 224)],
    RandomBrightness: [("factor", "largest change of the brightness, 0 to 1", "toFloat", 0.2)],
    RandomAffine: [
        ("degrees", "largest rotation either way, 0 to 180", "toFloat", 0.0),
        ("shift", "largest shift either way as a fraction of each side, 0 to below 1", "toFloat", 0.0),
        ("shear", "largest horizontal shear either way in degrees, 0 to below 90", "toFloat", 0.0),
        ("zoom", "smallest and largest zoom factor", "toListFloat", [1.0, 1.0]),
    ],
    RandomErasing: [
        ("p", "probability of a box, 0 to 1", "toFloat", 0.5),
        ("area", "smallest and largest area of the box as a fraction of the image", "toListFloat", [0.02, 0.33]),
        ("ratio", "smallest and largest height of the box divided by its width", "toListFloat", [0.3, 3.3]),
        ("value", "grey value of the box, 0 to 255", "toFloat", 0.0),
    ],
    TrivialAugment: [
        ("degrees", "largest rotation either way, 0 to 180", "toFloat", 15.0),
        ("shift", "largest shift either way as a fraction of the side, 0 to below 1", "toFloat", 0.1),
        ("shear", "largest shear either way in degrees, 0 to below 90", "toFloat", 10.0),
        ("brightness", "largest change of the brightness, 0 to 1", "toFloat", 0.4),
        ("contrast", "largest change of the contrast, 0 to 1", "toFloat", 0.4),
        ("sharpness", "largest change of the sharpness, 0 to 1", "toFloat", 0.9),
    ],
}
EACH = [(stage, *param) for stage, params in WRITTEN.items() for param in params]


@pytest.mark.parametrize(("stage", "name", "description", "converter", "default"), EACH)
def test_a_param_is_the_one_that_was_written_by_hand(stage, name, description, converter, default):
    param = getattr(stage, name)
    assert (param.name, param.doc, param.typeConverter.__name__) == (name, description, converter)
    signature = inspect.signature(stage).parameters
    assert signature[name].default == default
    assert signature[name].kind is inspect.Parameter.KEYWORD_ONLY
    for verb in ("set", "get"):
        method = getattr(stage, f"{verb}{name.capitalize()}")
        assert method.__doc__.startswith(f"{verb.capitalize()}s the {description}")
        assert method.__qualname__ == f"{stage.__name__}.{verb}{name.capitalize()}"
    assert f"{name}: {description} (default: {default})" in stage.__doc__


@pytest.mark.parametrize("stage", WRITTEN)
def test_a_stage_has_these_params_and_no_others(stage):
    assert sorted(inspect.signature(stage).parameters) == sorted([*COMMON, *(param[0] for param in WRITTEN[stage])])


def test_every_augmentation_has_a_stage():
    assert {stage.kind for stage in WRITTEN} == set(AUGMENTATIONS.values())


class Settings(BaseModel):
    described: int = Field(1, description="number of something")
    silent: int = 1
    needed: int = Field(description="number of something")
    odd: dict[str, int] = Field({}, description="numbers of something")
    params: int = Field(1, description="number of something")


@pytest.mark.parametrize(
    ("name", "message"),
    [("silent", "description"), ("needed", "default"), ("odd", "is of type dict"), ("params", "has an attribute")],
)
def test_a_setting_that_cannot_become_a_param_is_refused_when_the_class_is_made(name, message):
    class Stage(Params):
        pass

    with pytest.raises(TypeError, match=message):
        add_params(Stage, Settings, [name])
    assert add_params(Stage, Settings, ["described"]) == {"described": 1}
