"""The table of labels that every reader of a dataset gives."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cxr_spark.datasets.base import label_table

TWO = np.array([[1.0, 0.0], [np.nan, 1.0]], dtype=np.float32)


def test_what_pandas_calls_missing_is_null() -> None:
    """NaN is what columns of strings hold in pandas 3, None what those of older ones hold."""
    frame = pd.DataFrame({"sex": ["F", None], "view": [None, "PA"], "age": [None, 41.5]})
    given = {"view_position": frame["view"].tolist(), "sex": ["F", float("nan")], "age": frame["age"].tolist()}
    table = label_table(["a.png", "b.png"], ["1", float("nan")], TWO, **given)
    assert table["patient_id"].to_pylist() == ["1", None]
    assert table["view_position"].to_pylist() == [None, "PA"]
    assert table["sex"].to_pylist() == ["F", None]
    assert table["age"].to_pylist() == [None, 41.5]


def test_a_label_that_is_not_known_stays_nan() -> None:
    labels = label_table(["a.png", "b.png"], ["1", "2"], TWO)["labels"].to_pylist()
    np.testing.assert_array_equal(labels, TWO)
