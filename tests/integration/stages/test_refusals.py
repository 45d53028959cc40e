"""What stages refuse: columns, rows and Params that cannot be used."""

from __future__ import annotations

import pytest
from pyspark.ml import Pipeline, Transformer
from pyspark.sql import functions as sf

from cxr_spark.errors import ConfigError, DataError
from cxr_spark.spark_ml.stages import (
    CenterCrop,
    ImageNetBGR,
    RandomAffine,
    RandomBrightness,
    RandomCrop,
    RandomHorizontalFlip,
    Resize,
)
from cxr_spark.spark_ml.stages.metadata import ImageColumn
from tests.support.stage_frames import RANDOM, arrays, grey, images_frame


@pytest.mark.parametrize(
    "stage", [Resize(), CenterCrop(), ImageNetBGR(), *RANDOM], ids=lambda stage: type(stage).__name__
)
def test_a_missing_column_or_one_of_another_type_is_named_before_any_work(stage, pixels):
    runs = [stage.transform] if isinstance(stage, Transformer) else [stage.transform, stage.fit]
    for run in runs:
        with pytest.raises(DataError, match="no column 'pixels': the DataFrame has image_index"):
            run(pixels.drop("pixels"))
        with pytest.raises(DataError, match="column 'pixels' is array<float>: expected binary"):
            run(pixels.withColumn("pixels", sf.array(sf.lit(1.0).cast("float"))))


def test_a_missing_image_index_is_said(pixels):
    with pytest.raises(DataError, match="no column 'image_index' or 'path'"):
        RandomHorizontalFlip().transform(pixels.drop("image_index"))
    with pytest.raises(DataError, match="no column 'nome'"):
        RandomHorizontalFlip(imageIndexCol="nome").transform(pixels.withColumn("path", sf.lit("a")))
    with pytest.raises(DataError, match="column 'image_index' is int: expected string"):
        RandomHorizontalFlip().transform(pixels.withColumn("image_index", sf.lit(1)))


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": "float64", "shape": [2, 2]},
        {"dtype": "uint8", "shape": [3, 2, 2]},
        {"dtype": "float32", "shape": [1, 2, 2]},
        {"dtype": "uint8", "shape": [0, 2]},
        {"shape": [2, 2]},
        {"dtype": "uint8", "augmentations": ["{}"]},
    ],
)
def test_foreign_metadata_is_refused(entry, pixels):
    with pytest.raises(DataError, match="column 'pixels' has image metadata"):
        ImageNetBGR().transform(pixels.withMetadata("pixels", {"cxr": entry}))


@pytest.fixture(scope="module")
def spoilt(spark):
    """Three good images, a null and one of the wrong length."""
    good = grey(3, 6, 6)
    return images_frame(spark, [good[0], None, good[1], b"12345", good[2]], ImageColumn((6, 6)))


@pytest.mark.parametrize(
    "stage", [Resize(size=4), CenterCrop(size=4), ImageNetBGR(), RandomHorizontalFlip()], ids=lambda s: type(s).__name__
)
def test_rows_without_a_usable_image(stage, spoilt):
    skipped = stage.copy().setHandleInvalid("skip").transform(spoilt)
    assert sorted(arrays(skipped)) == ["00000000.png", "00000002.png", "00000004.png"]
    kept = stage.copy().setHandleInvalid("keep").transform(spoilt)
    assert sorted(r.image_index for r in kept.collect() if r.pixels is None) == ["00000001.png", "00000003.png"]


def test_a_row_without_a_usable_image_fails_the_job_with_what_is_wrong(spoilt):
    with pytest.raises(Exception, match="column 'pixels': a value is null; mend the data, or set handleInvalid"):
        ImageNetBGR().transform(spoilt.where("pixels is null")).collect()
    with pytest.raises(Exception, match="column 'pixels': a value has 5 bytes, expected uint8 of 6 x 6"):
        ImageNetBGR().transform(spoilt.where("pixels is not null")).collect()


def test_a_null_name_is_an_invalid_row_for_a_random_stage(pixels):
    nameless = pixels.withColumn("image_index", sf.expr("nullif(image_index, '00000003.png')"))
    with pytest.raises(Exception, match="an image index is null"):
        RandomHorizontalFlip().transform(nameless).collect()
    assert RandomHorizontalFlip(handleInvalid="skip").transform(nameless).count() == 39


def test_undecodable_files(spark, files):
    # Not by way of files: Spark's binaryFile leaves empty ones out.
    bad = [
        ("a/broken.png", bytearray(b"\x89PNG\r\n\x1a\nnonsense")),
        ("a/empty.png", bytearray()),
        ("a/null.png", None),
    ]
    broken = files.select("path", "content").union(spark.createDataFrame(bad, "path string, content binary"))
    with pytest.raises(Exception, match=r"the value of '(broken|empty|null)\.png' is (no usable image|null)"):
        Resize(inputCol="content", size=8).transform(broken).collect()
    skipped = Resize(inputCol="content", size=8, handleInvalid="skip").transform(broken)
    assert skipped.count() == files.count()
    kept = Resize(inputCol="content", size=8, handleInvalid="keep").transform(broken)
    assert kept.where("pixels is null").count() == 3
    plan = skipped._jdf.queryExecution().executedPlan().toString()
    assert plan.count("ArrowEvalPython") == 1, "each file is decoded once, the filter notwithstanding"


def test_stages_that_cannot_follow_one_another_say_so(pixels):
    bgr = ImageNetBGR().transform(pixels)
    with pytest.raises(DataError, match="already: expected grey"):
        ImageNetBGR().transform(bgr)
    with pytest.raises(DataError, match="Resize takes grey images"):
        Resize().transform(bgr)
    with pytest.raises(DataError, match="cannot crop 224 x 224 out of images of 20 x 24"):
        CenterCrop().transform(pixels)
    for run in (RandomCrop(size=21).transform, RandomCrop(size=21).fit):
        with pytest.raises(DataError, match="cannot crop 21 x 21 out of images of 20 x 24"):
            run(pixels)
    for late in (Resize(size=8), CenterCrop(size=8)):
        with pytest.raises(DataError, match="before the RandomCrop"):
            Pipeline(stages=[RandomCrop(size=16), late, RandomHorizontalFlip()]).fit(pixels)


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: Resize(size=0), ConfigError, "size is 0"),
        (lambda: Resize(mode="stretch"), ConfigError, "mode is 'stretch': expected one of squash, pad, crop"),
        (lambda: Resize(size="big"), TypeError, "size"),
        (lambda: CenterCrop(size=-3), ConfigError, "size is -3"),
        (
            lambda: ImageNetBGR(handleInvalid="drop"),
            ConfigError,
            "handleInvalid is 'drop': expected error, skip or keep",
        ),
        (lambda: RandomHorizontalFlip(p=1.5), ConfigError, r"random_horizontal_flip\.p is 1\.5"),
        (lambda: RandomHorizontalFlip(epoch=-1), ConfigError, "epoch is -1"),
        (lambda: RandomHorizontalFlip(rate=1), TypeError, "rate"),
        (lambda: RandomHorizontalFlip(0.5), TypeError, "keyword"),
        (lambda: RandomCrop(size=0), ConfigError, "size is 0"),
        (lambda: RandomAffine(zoom=[2, 1]), ConfigError, r"random_affine\.zoom"),
        (lambda: RandomAffine(degrees=-1), ConfigError, r"random_affine\.degrees is -1"),
        (lambda: RandomBrightness(factor=float("nan")), ConfigError, r"random_brightness\.factor is nan"),
    ],
)
def test_bad_params_are_refused_when_they_are_set(spark, build, error, message):
    with pytest.raises(error, match=message):
        build()


def test_a_refused_value_leaves_the_stage_as_it_was(spark):
    flip = RandomHorizontalFlip(p=0.25)
    with pytest.raises(ConfigError):
        flip.setP(-1)
    assert flip.getP() == 0.25
