"""The most confident mistakes, against pandas, however the images are spread."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from cxr_spark.evaluation.decisions.mistakes import MOST_NAMED, worst_mistakes
from cxr_spark.evaluation.image_sets.on_driver import DriverImages
from cxr_spark.evaluation.reading.images import IMAGES

FINDINGS = ("Mass", "Edema", "Hernia")


def images(labels, scores):
    """Images as the driver holds them; their names are not in the order of their rows."""
    n = len(labels)
    columns = dict.fromkeys(IMAGES.names, [None] * n)
    names = [f"{place * 7 % n:05d}.png" for place in range(n)]
    columns |= {"image_index": names, "labels": list(labels), "scores": list(scores)}
    return pa.table(columns, schema=IMAGES)


@pytest.fixture
def drawn():
    """1,001 images with many equal scores and labels that are not known."""
    rng = np.random.default_rng(4)
    labels = (rng.random((1001, 3)) < [0.3, 0.1, 0.002]).astype(float)
    labels[rng.random(labels.shape) < 0.1] = np.nan
    return labels, np.round(rng.random((1001, 3)), 1)


def expected(table, finding, threshold):
    """The same by pandas: sorted by the score, then by the name."""
    place = FINDINGS.index(finding)
    frame = pd.DataFrame({"image_index": table["image_index"].to_pylist()})
    frame["label"] = [row[place] for row in table["labels"].to_pylist()]
    frame["probability"] = [row[place] for row in table["scores"].to_pylist()]
    called = frame["probability"] >= threshold
    over = frame[called & (frame["label"] == 0)].sort_values(["probability", "image_index"], ascending=[False, True])
    under = frame[~called & (frame["label"] == 1)].sort_values(["probability", "image_index"])
    return {
        name: found.head(MOST_NAMED)[["image_index", "probability"]].to_dict("records")
        for name, found in (("false_positives", over), ("false_negatives", under))
    }


def test_the_worst_mistakes_are_those_of_pandas(drawn):
    table = images(*drawn)
    thresholds = [0.5, 0.7, 0.95]
    found = worst_mistakes(DriverImages(table), FINDINGS, "validation", thresholds)
    assert found["rule"] == "validation"
    for finding, threshold in zip(FINDINGS, thresholds, strict=True):
        assert found["findings"][finding] == {"threshold": threshold, **expected(table, finding, threshold)}
    assert found["findings"]["Mass"]["false_positives"][0]["probability"] == 1.0
    assert len(found["findings"]["Hernia"]["false_negatives"]) < MOST_NAMED  # there are fewer such images


def test_the_order_and_the_batches_of_images_change_nothing(drawn):
    table = images(*drawn)
    whole = worst_mistakes(DriverImages(table), FINDINGS, "0.5", [0.5] * 3)
    mixed = table.take(np.random.default_rng(9).permutation(table.num_rows))
    cut = pa.Table.from_batches(mixed.combine_chunks().to_batches(max_chunksize=83))
    assert worst_mistakes(DriverImages(cut), FINDINGS, "0.5", [0.5] * 3) == whole


def test_a_softmax_is_wrong_where_another_class_is_more_probable():
    labels = [[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]
    scores = [[0.6, 0.3, 0.1], [0.2, 0.45, 0.35], [0.4, 0.35, 0.25], [0.1, 0.8, 0.1]]
    found = worst_mistakes(DriverImages(images(labels, scores)), FINDINGS, "most_probable", [None] * 3)["findings"]
    names = ["00000.png", "00003.png", "00002.png", "00001.png"]  # of the four rows
    assert found["Mass"]["false_positives"] == [{"image_index": names[2], "probability": 0.4}]
    assert found["Mass"]["false_negatives"] == [{"image_index": names[1], "probability": 0.2}]
    assert [image["image_index"] for image in found["Edema"]["false_positives"]] == [names[3], names[1]]
    assert found["Hernia"] == {
        "threshold": None,
        "false_positives": [],
        "false_negatives": [{"image_index": names[3], "probability": 0.1}],
    }
