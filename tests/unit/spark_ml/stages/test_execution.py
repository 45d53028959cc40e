import pickle
import subprocess
import sys

import cv2
import numpy as np
import pytest

from cxr_spark.augmentation import kernels
from cxr_spark.augmentation.kinds import HorizontalFlip
from cxr_spark.errors import DataError
from cxr_spark.spark_ml import stages
from cxr_spark.spark_ml.stages import execution
from cxr_spark.spark_ml.stages.execution import Source, augment_images, decode_images, map_images
from cxr_spark.spark_ml.stages.metadata import ImageColumn

IMAGES = np.random.default_rng(0).integers(0, 256, (30, 8, 9), dtype=np.uint8)


def values(*items: object) -> np.ndarray:
    result = np.empty(len(items), dtype=object)
    result[:] = items
    return result


def source(on_invalid="error", column=ImageColumn((8, 9))) -> Source:  # noqa: B008 - immutable
    return Source("pixels", column, on_invalid)


def test_small_chunks_give_what_one_batch_gives(monkeypatch):
    rows = values(*(image.tobytes() for image in IMAGES))
    names = values(*(str(i) for i in range(30)))
    whole = map_images(rows, source(), kernels.imagenet_bgr)
    flipped = augment_images(rows, names, source(), HorizontalFlip(), 1, 2)
    monkeypatch.setattr(execution, "_CHUNK_BYTES", 3 * 72)
    sizes = []

    def counted(batch):
        sizes.append(len(batch))
        return kernels.imagenet_bgr(batch)

    assert map_images(rows, source(), counted).tolist() == whole.tolist()
    assert sizes == [3] * 10
    assert augment_images(rows, names, source(), HorizontalFlip(), 1, 2).tolist() == flipped.tolist()


def test_results_keep_their_rows_when_lengths_are_mixed():
    square = ImageColumn()
    rows = values(bytes(range(9)), b"abcd", None, bytes(range(9, 18)), b"12345")
    result = map_images(rows, source("keep", square), lambda batch: batch.flip(-1))
    assert result.tolist() == [
        bytes([2, 1, 0, 5, 4, 3, 8, 7, 6]),
        b"badc",
        None,
        bytes([11, 10, 9, 14, 13, 12, 17, 16, 15]),
        None,
    ]


@pytest.mark.parametrize(("bad", "message"), [(None, "a value is null"), (b"", "0 bytes"), (b"x" * 71, "71 bytes")])
def test_a_bad_row_is_an_error_or_null(bad, message):
    rows = values(IMAGES[0].tobytes(), bad)
    with pytest.raises(DataError, match=f"column 'pixels'.*{message}.*handleInvalid"):
        map_images(rows, source(), kernels.imagenet_bgr)
    for policy in ("skip", "keep"):
        result = map_images(rows, source(policy), lambda batch: batch)
        assert result.tolist() == [IMAGES[0].tobytes(), None]


def test_no_rows_give_no_rows():
    assert map_images(values(), source(), kernels.imagenet_bgr).shape == (0,)
    assert augment_images(values(), values(), source(), HorizontalFlip(), 0, 0).shape == (0,)


def test_decoding_names_the_image_at_fault():
    good = cv2.imencode(".png", IMAGES[0])[1].tobytes()
    rows, names = values(good, good[:-20], b"text"), values("a.png", "b.png", "c.png")
    result = decode_images(rows, names, source=source("keep"), size=8, mode="squash")
    expected = cv2.resize(IMAGES[0], (8, 8), interpolation=cv2.INTER_AREA)
    assert result.tolist() == [expected.tobytes(), None, None]
    with pytest.raises(DataError, match=r"of 'b\.png' is no usable image"):
        decode_images(rows, names, source=source(), size=8, mode="squash")
    with pytest.raises(DataError, match="the value is no usable image"):
        decode_images(rows[2:], source=source(), size=8, mode="squash")


def test_what_travels_to_workers_pickles():
    assert pickle.loads(pickle.dumps(source())) == source()


def test_workers_and_ranks_need_no_spark():
    code = (
        "import sys; import cxr_spark.spark_ml.stages; "
        "import cxr_spark.spark_ml.stages.execution, cxr_spark.spark_ml.stages.metadata; "
        "print(sorted(m for m in sys.modules if m.split('.')[0] == 'pyspark'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_package_offers_every_stage_by_name():
    for name in stages.__all__:
        assert getattr(stages, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'RandomFlip'"):
        stages.RandomFlip  # noqa: B018
