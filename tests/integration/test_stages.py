"""Image stages on DataFrames: against PIL, OpenCV and numpy, and against their own batch kernels."""

import logging
from collections.abc import Callable, Iterator

import cv2
import numpy as np
import pyspark
import pytest
import torch
from PIL import Image
from pyspark.ml import Pipeline, PipelineModel, Transformer
from pyspark.sql import functions as sf

from cxr_spark.augmentation import kernels
from cxr_spark.augmentation.building import augment
from cxr_spark.augmentation.draws import image_keys
from cxr_spark.errors import ConfigError, DataError
from cxr_spark.spark_ml.stages import (
    CenterCrop,
    ImageNetBGR,
    RandomAffine,
    RandomBrightness,
    RandomCrop,
    RandomHorizontalFlip,
    RandomVerticalFlip,
    Resize,
)
from cxr_spark.spark_ml.stages.base import RandomStageModel
from cxr_spark.spark_ml.stages.dataframe import map_column
from cxr_spark.spark_ml.stages.execution import Source
from cxr_spark.spark_ml.stages.metadata import ImageColumn, image_column, pending_augmentations

SPARK_3 = pyspark.__version__.startswith("3.")
BATCH_ROWS = "spark.sql.execution.arrow.maxRecordsPerBatch"
HEIGHT, WIDTH = 20, 24
RANDOM = [
    RandomHorizontalFlip(p=0.5, seed=3),
    RandomVerticalFlip(p=0.5, seed=3),
    RandomCrop(size=16, seed=3),
    RandomAffine(degrees=15, shift=0.1, shear=5, zoom=[0.9, 1.2], seed=3),
    RandomBrightness(factor=0.3, seed=3),
]


def grey(n: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    return np.random.default_rng(7).integers(0, 256, (n, height, width), dtype=np.uint8)


def images_frame(spark, images, content=None):
    rows = [(f"{i:08d}.png", None if image is None else bytearray(bytes(image))) for i, image in enumerate(images)]
    frame = spark.createDataFrame(rows, "image_index string, pixels binary").coalesce(1)
    return frame if content is None else frame.withMetadata("pixels", content.to_metadata())


@pytest.fixture(scope="module")
def pixels(spark):
    return images_frame(spark, grey(40), ImageColumn((HEIGHT, WIDTH))).cache()


@pytest.fixture(scope="module")
def files(spark, tmp_path_factory):
    """Real image files of several kinds, read the way users read them."""
    folder = tmp_path_factory.mktemp("files")
    for i, image in enumerate(grey(4, 50, 61)):
        Image.fromarray(image).save(folder / f"grey {i}.png")
    Image.fromarray(grey(1, 64, 64)[0]).convert("RGB").save(folder / "photo.jpg", quality=95)
    return spark.read.format("binaryFile").load(f"file://{folder}")


def arrays(frame, column="pixels"):
    """The images of a column by name, decoded by what its metadata says."""
    content = image_column(frame.schema, column)
    rows = frame.select("image_index", column).collect()
    return {
        row[0]: np.frombuffer(row[1], content.dtype).reshape(content.shape_of(len(row[1])))
        for row in sorted(rows, key=lambda row: row[0])
    }


def stacked(frame, column="pixels"):
    return np.stack(list(arrays(frame, column).values()))


def names(n: int) -> list[str]:
    return [f"{i:08d}.png" for i in range(n)]


# --- deterministic stages


def test_resize_of_files_equals_opencv(files):
    frame = Resize(inputCol="content", size=32).transform(files)
    for row in frame.collect():
        expected = cv2.resize(
            cv2.imread(row.path.removeprefix("file:"), cv2.IMREAD_GRAYSCALE), (32, 32), interpolation=cv2.INTER_AREA
        )
        result = np.frombuffer(row.pixels, np.uint8).reshape(32, 32)
        assert np.abs(result.astype(int) - expected).max() <= (2 if row.path.endswith("jpg") else 0)
    assert frame.schema["pixels"].metadata == {"cxr": {"dtype": "uint8", "shape": [32, 32]}}


def test_halving_an_image_averages_four_pixels_as_pil_does(spark):
    frame = images_frame(spark, grey(5, 32, 32), ImageColumn((32, 32)))
    result = stacked(Resize(size=16).transform(frame))
    for image, small in zip(grey(5, 32, 32), result, strict=True):
        reference = np.asarray(Image.fromarray(image).resize((16, 16), Image.Resampling.BOX))
        assert np.abs(small.astype(int) - reference).max() <= 1


def test_enlarging_equals_opencv_and_modes_differ(pixels):
    result = stacked(Resize(size=48).transform(pixels))
    for image, large in zip(grey(40), result, strict=True):
        np.testing.assert_array_equal(large, cv2.resize(image, (48, 48), interpolation=cv2.INTER_LINEAR))
    padded = stacked(Resize(size=24, mode="pad").transform(pixels))
    np.testing.assert_array_equal(padded[:, 2:22], grey(40))
    assert not padded[:, :2].any()
    cropped = stacked(Resize(size=20, mode="crop").transform(pixels))
    np.testing.assert_array_equal(cropped, grey(40)[:, :, 2:22])


def test_bgr_has_the_known_order_and_means(spark):
    image = np.zeros((4, 4), np.uint8)
    image[1, 2] = 200
    frame = ImageNetBGR(outputCol="features").transform(images_frame(spark, [image], ImageColumn((4, 4))))
    features = stacked(frame, "features")[0]
    assert features.shape == (3, 4, 4)
    assert features.dtype == np.float32
    np.testing.assert_allclose(features[:, 1, 2], [200 - 103.939, 200 - 116.779, 200 - 123.68], rtol=1e-6)
    np.testing.assert_allclose(features[:, 0, 0], [-103.939, -116.779, -123.68], rtol=1e-6)
    assert frame.columns == ["image_index", "pixels", "features"], "the input column stays"


def test_the_dataframe_route_equals_the_kernels(pixels):
    stages = [Resize(size=22), CenterCrop(size=18), ImageNetBGR()]
    batch = torch.from_numpy(grey(40))
    frame = pixels
    for stage in stages:
        frame, batch = stage.transform(frame), stage.kernel()(batch)
    np.testing.assert_array_equal(stacked(frame), batch.numpy())


@pytest.mark.parametrize("stage", RANDOM, ids=lambda stage: type(stage).__name__)
def test_a_random_stage_alone_equals_its_kernel_and_varies_by_epoch_and_seed(stage, pixels):
    batch, keys = torch.from_numpy(grey(40)), image_keys(names(40))
    result = stacked(stage.transform(pixels))
    np.testing.assert_array_equal(result, stage.kernel()(batch, keys, 3, 0).numpy())
    np.testing.assert_array_equal(stacked(stage.transform(pixels.repartition(3))), result)
    later = stacked(stage.transform(pixels, {stage.epoch: 1}))
    np.testing.assert_array_equal(later, stage.kernel()(batch, keys, 3, 1).numpy())
    assert (later != result).any()
    assert (stacked(stage.copy({stage.seed: 4}).transform(pixels)) != result).any()


@pytest.mark.parametrize("stage", RANDOM, ids=lambda stage: type(stage).__name__)
def test_the_network_s_input_is_augmented_like_the_grey_image_behind_it(stage, pixels):
    before = ImageNetBGR().transform(stage.transform(pixels))
    after = stage.transform(ImageNetBGR().transform(pixels))
    np.testing.assert_array_equal(stacked(after), stacked(before))


def test_a_vertical_flip_turns_upside_down(pixels):
    turned = RandomVerticalFlip(p=1).transform(pixels)
    np.testing.assert_array_equal(stacked(turned), grey(40)[:, ::-1])


def test_the_flip_rate_is_p(spark):
    images = [np.array([[0, 255], [0, 255]], np.uint8)] * 3000
    frame = images_frame(spark, images, ImageColumn((2, 2)))
    first = stacked(RandomHorizontalFlip(p=0.3).transform(frame))[:, 0, 0] == 255
    second = stacked(RandomHorizontalFlip(p=0.3, epoch=1).transform(frame))[:, 0, 0] == 255
    assert abs(first.mean() - 0.3) < 0.035  # 4 standard errors
    assert abs(second.mean() - 0.3) < 0.035
    assert 0.3 < (first != second).mean() < 0.54  # 2 p (1 - p) = 0.42 where epochs are independent


# --- pipelines


def pipeline(*random_stages):
    return Pipeline(stages=[Resize(size=22), *random_stages, ImageNetBGR(outputCol="features")])


def test_a_fitted_pipeline_draws_nothing_and_leaves_the_augmentations_to_the_classifier(pixels):
    flip, crop = RandomHorizontalFlip(p=0.3), RandomCrop(size=20)
    fitted = pipeline(flip, crop, RandomHorizontalFlip(p=0.9)).fit(pixels)
    frame = fitted.transform(pixels)
    plain = pipeline().fit(pixels).transform(pixels)
    for column in ("pixels", "features"):
        np.testing.assert_array_equal(stacked(frame, column), stacked(plain, column))
        np.testing.assert_array_equal(stacked(fitted.transform(pixels), column), stacked(frame, column))
    pending = pending_augmentations(frame.schema["features"])
    assert [a.name for a in pending] == ["random_horizontal_flip", "random_crop", "random_horizontal_flip"]
    assert [a.stream for a in pending] == [0, 0, 1]
    assert pending[1] == crop.kernel()
    assert pending_augmentations(plain.schema["features"]) == []


def test_what_the_trainer_makes_of_a_pipeline_s_output_equals_the_stages_alone(pixels):
    stages = [RandomHorizontalFlip(seed=5, epoch=2), RandomCrop(size=20, seed=5, epoch=2)]
    frame = pipeline(*stages).fit(pixels).transform(pixels)
    grey_again = kernels.grey_from_bgr(torch.from_numpy(stacked(frame, "features")))
    pending = pending_augmentations(frame.schema["features"])
    trained_on = kernels.imagenet_bgr(augment(grey_again, pending, image_keys(names(40)), seed=5, epoch=2))
    alone = Resize(size=22).transform(pixels)
    for stage in (*stages, ImageNetBGR()):
        alone = stage.transform(alone)
    np.testing.assert_array_equal(trained_on.numpy(), stacked(alone))


def test_random_stages_are_no_transformers(pixels):
    for stage in RANDOM:
        assert not isinstance(stage, Transformer)
        assert isinstance(stage.fit(pixels), RandomStageModel)


def test_pipelines_and_models_survive_save_and_load(pixels, tmp_path):
    unfitted = pipeline(*RANDOM)
    unfitted.save(f"file://{tmp_path}/unfitted")
    fitted = unfitted.fit(pixels)
    fitted.save(f"file://{tmp_path}/fitted")
    expected = fitted.transform(pixels)
    for loaded in (
        PipelineModel.load(f"file://{tmp_path}/fitted"),
        Pipeline.load(f"file://{tmp_path}/unfitted").fit(pixels),
    ):
        frame = loaded.transform(pixels)
        np.testing.assert_array_equal(stacked(frame, "features"), stacked(expected, "features"))
        assert frame.schema["features"].metadata == expected.schema["features"].metadata


@pytest.mark.parametrize(
    "stage",
    [*RANDOM, Resize(size=9, mode="pad"), CenterCrop(size=9), ImageNetBGR()],
    ids=lambda stage: type(stage).__name__,
)
def test_each_stage_survives_save_load_and_copy_with_its_params(stage, tmp_path):
    stage = stage.copy().setInputCol("in").setOutputCol("out").setHandleInvalid("keep")
    stage.save(f"file://{tmp_path}/stage")
    loaded = type(stage).load(f"file://{tmp_path}/stage")
    for other in (loaded, stage.copy()):
        assert other.uid == stage.uid
        assert {p.name: other.getOrDefault(p) for p in other.params} == {
            p.name: stage.getOrDefault(p) for p in stage.params
        }


def test_stages_after_one_another_run_in_one_python_pass(files):
    fitted = Pipeline(stages=[Resize(inputCol="content", size=32), CenterCrop(size=24), ImageNetBGR()]).fit(files)
    plan = fitted.transform(files).select("pixels")._jdf.queryExecution().executedPlan().toString()
    assert plan.count("ArrowEvalPython") == 1


def test_metadata_survives_parquet(pixels, tmp_path):
    RandomHorizontalFlip().fit(pixels).transform(pixels).write.parquet(f"file://{tmp_path}/data")
    frame = pixels.sparkSession.read.parquet(f"file://{tmp_path}/data")
    assert image_column(frame.schema, "pixels").size == (HEIGHT, WIDTH)
    assert len(pending_augmentations(frame.schema["pixels"])) == 1


# --- columns and names


def test_without_metadata_pixels_are_taken_for_squares(spark):
    frame = images_frame(spark, grey(6, 18, 18))
    flipped = RandomHorizontalFlip(p=1).transform(ImageNetBGR(outputCol="features").transform(frame))
    np.testing.assert_array_equal(stacked(flipped), grey(6, 18, 18)[:, :, ::-1])
    np.testing.assert_array_equal(
        stacked(flipped, "features"), kernels.imagenet_bgr(torch.from_numpy(grey(6, 18, 18))).numpy()
    )
    np.testing.assert_array_equal(stacked(CenterCrop(size=4).transform(frame)), grey(6, 18, 18)[:, 7:11, 7:11])


def test_the_image_s_name_is_the_base_name_of_path_where_there_is_no_index(files):
    resized = Resize(inputCol="content", size=8).transform(files)
    by_path = RandomHorizontalFlip().transform(resized).select("path", "pixels").collect()
    named = resized.withColumn("name", sf.element_at(sf.split("path", "/"), -1)).drop("path")
    by_name = RandomHorizontalFlip(imageIndexCol="name").transform(named).select("name", "pixels").collect()
    assert {row.path.rsplit("/", 1)[1]: row.pixels for row in by_path} == {row.name: row.pixels for row in by_name}


def test_odd_column_names_work(pixels):
    odd = "a.b `c`"
    frame = CenterCrop(outputCol=odd, size=11).transform(pixels)
    result = RandomHorizontalFlip(inputCol=odd, outputCol=odd, p=1).transform(frame).withColumnRenamed(odd, "odd")
    np.testing.assert_array_equal(stacked(result, "odd"), grey(40)[:, 4:15, 6:17][:, :, ::-1])


def test_an_empty_dataframe_stays_empty(pixels):
    empty = pixels.limit(0)
    frame = pipeline(RandomHorizontalFlip()).fit(empty).transform(empty)
    assert frame.count() == 0
    assert image_column(frame.schema, "features").size == (22, 22)
    assert RandomHorizontalFlip().transform(empty).count() == 0


@pytest.fixture
def rows_of_a_batch(pixels) -> Iterator[Callable[[int], None]]:
    """Sets the session's limit of rows in an Arrow batch, and puts it back in the end."""
    conf = pixels.sparkSession.conf
    before = conf.get(BATCH_ROWS)
    yield lambda rows: conf.set(BATCH_ROWS, rows)
    conf.set(BATCH_ROWS, before)


@pytest.mark.skipif(SPARK_3, reason="Spark 3.5 has no limit of a batch's bytes, so the limit of its rows is lowered")
def test_the_session_stays_as_it_is(pixels, rows_of_a_batch):
    rows_of_a_batch(10_000)
    conf = {row["key"]: row["value"] for row in pixels.sparkSession.sql("SET").collect()}
    assert Resize(size=1024).transform(pixels).count() == 40
    assert {row["key"]: row["value"] for row in pixels.sparkSession.sql("SET").collect()} == conf


@pytest.mark.skipif(SPARK_3, reason="Spark 3.5 has no limit of a batch's bytes, so the limit of its rows is lowered")
def test_results_that_are_larger_than_images_come_in_small_batches(spark, rows_of_a_batch):
    """The rows of 64 MiB of images of 4,096 x 4,096 bytes are 4; those of small ones are more than there are here."""
    rows_of_a_batch(10_000)
    images = images_frame(spark, grey(40), ImageColumn((HEIGHT, WIDTH)))
    source = Source("pixels", image_column(images.schema, "pixels"), "error")

    def rows_at_once(values: np.ndarray) -> np.ndarray:
        return np.array([bytes([len(values)])] * len(values), dtype=object)

    def largest(output: ImageColumn) -> int:
        frame = map_column(images, rows_at_once, [images["pixels"]], source, "rows", output)
        return max(row["rows"][0] for row in frame.select("rows").collect())

    assert largest(ImageColumn(size=(4096, 4096))) == 4
    assert largest(ImageColumn(size=(30, 30))) == 40


@pytest.mark.skipif(not SPARK_3, reason="Spark 4 limits the bytes of a batch itself")
def test_arrow_batches_are_made_small_enough_for_images(pixels, caplog, rows_of_a_batch):
    conf = pixels.sparkSession.conf
    rows_of_a_batch(10_000)
    with caplog.at_level(logging.INFO, logger="cxr_spark.spark_ml.stages"):
        Resize(size=1024).transform(pixels)
    assert int(conf.get(BATCH_ROWS)) == 64
    assert "lowered from 10000 to 64" in caplog.text
    rows_of_a_batch(7)
    Resize(size=1024).transform(pixels)
    assert int(conf.get(BATCH_ROWS)) == 7, "what is small enough is left alone"


# --- hostile input


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
