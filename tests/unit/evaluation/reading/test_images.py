"""Rows of predictions on their way to pairs, as executors see them: no Spark here."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from cxr_spark.evaluation.counting.pairs import MICRO, Subgroup, pairs_of
from cxr_spark.evaluation.reading.images import FACTS, Truth, checker, matrix_of

FINDINGS = ("Mass", "No Finding")


def predictions(scores, labels=None, *, kind=None, index=None, malformed=None, **facts):
    n = len(scores)
    columns = {
        "image_index": pa.array(index or [f"{i}.png" for i in range(n)], pa.string()),
        **{
            name: pa.array(facts.get(name, [None] * n), pa.float64() if name == "age" else pa.string())
            for name in FACTS
        },
        "labels": pa.array(labels or [[0.0, 1.0]] * n, pa.list_(pa.float64())),
        "scores": pa.array(scores, pa.list_(kind or pa.float64())),
        "malformed": pa.array(malformed or [None] * n, pa.string()),
    }
    return pa.RecordBatch.from_pydict(columns)


def checked(batch, truth=None, findings=FINDINGS):
    return pa.Table.from_batches(checker(findings, truth)([batch]))


def fault_of(batch, truth=None):
    faults = checked(batch, truth).column("fault").to_pylist()
    return next((fault for fault in faults if fault), None)


GOOD = [0.25, 0.5]


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ([1.3, 0.5], "'1.3' for 'Mass'"),
        ([0.5, -0.1], "'-0.1' for 'No Finding'"),
        ([float("nan"), 0.5], "'nan' for 'Mass'"),
        ([0.5, float("inf")], "'inf' for 'No Finding'"),
        ([None, 0.5], "'' for 'Mass'"),
        ([0.5], "1 probabilities, expected 2"),
        ([0.5, 0.5, 0.5], "3 probabilities, expected 2"),
        (None, "0 probabilities, expected 2"),
    ],
)
def test_a_score_that_is_no_probability_is_told_with_image_value_and_finding(bad, said):
    fault = fault_of(predictions([GOOD, bad]))
    assert said in fault
    assert "'1.png'" in fault


@pytest.mark.parametrize("text", ["abc", "", "0,5", "1.3", "nan", "50%", "1_0", "--", "0x1p-1"])
def test_texts_of_a_csv_are_quoted_as_they_stand(text):
    fault = fault_of(predictions([["0.25", "5e-1"], [text, "0.5"]], kind=pa.string()))
    assert repr(text) in fault
    assert "'1.png'" in fault
    assert "probability from 0 to 1" in fault


def test_texts_of_good_numbers_become_the_nearest_double():
    texts = [["0.1", "1e-300"], ["0.30000000000000004", "1"], ["0", "1.0"]]
    scores = matrix_of(checked(predictions(texts, kind=pa.string())), "scores", 2)
    np.testing.assert_array_equal(scores, [[float(value) for value in row] for row in texts])


@pytest.mark.parametrize(
    ("labels", "said"),
    [([2.0, 0.0], "label 2 for 'Mass'"), ([0.0, -1.0], "label -1 for 'No Finding'"), ([1.0], "1 labels")],
)
def test_labels_must_be_known_or_not_known(labels, said):
    assert said in fault_of(predictions([GOOD, GOOD], [[0.0, float("nan")], labels]))


def test_rows_without_a_name_and_malformed_rows_are_faults():
    assert "no image index" in fault_of(predictions([GOOD], index=[None]))
    assert "no image index" in fault_of(predictions([GOOD], index=["  "]))
    assert fault_of(predictions([GOOD], malformed=["a row does not fit the header: x"])).startswith(
        "a row does not fit"
    )


def test_good_rows_have_no_fault_and_missing_labels_are_null_not_zero():
    table = checked(predictions([GOOD, GOOD], [[0.0, float("nan")], None]))
    assert table.column("fault").null_count == 2
    assert table.column("labels").is_null().to_pylist() == [False, True]


def test_labels_are_joined_by_image_and_facts_of_the_label_file_win():
    truth = Truth(
        pa.table(
            {
                "image_index": ["b.png", "a.png"],
                "patient_id": ["7", None],
                "sex": ["F", None],
                "age": [45.0, None],
                "view_position": [None, "AP"],
            }
        ),
        np.array([[1, 0], [0, np.nan]], dtype=np.float32),
    )
    batch = predictions([GOOD] * 3, [[1.0, 1.0]] * 3, index=["a.png", "b.png", "c.png"], patient_id=["1", "2", "3"])
    table = checked(batch, truth)
    assert table.column("labels").is_null().to_pylist() == [False, False, True]
    np.testing.assert_array_equal(matrix_of(table.slice(0, 2), "labels", 2), [[0, np.nan], [1, 0]])
    assert table.column("sex").to_pylist() == [None, "F", None]
    assert table.column("age_band").to_pylist() == [None, "40-59", None]
    assert table.column("view_position").to_pylist() == ["AP", None, None]
    same = checked(predictions([GOOD] * 2, patient_id=["1", "7"])).column("patient").to_pylist()
    assert table.column("patient").to_pylist()[:2] == same


def test_a_patient_is_one_wherever_it_occurs_and_unknown_patients_are_one_an_image():
    first = checked(predictions([GOOD] * 4, patient_id=["5", " 5", None, ""])).to_pydict()
    assert first["patient_known"] == [True, True, False, False]
    assert first["patient"][0] == first["patient"][1]
    assert len(set(first["patient"])) == 3
    # An image called like a patient is not that patient.
    other = checked(predictions([GOOD], index=["5"])).to_pydict()
    assert other["patient"][0] != first["patient"][0]


@pytest.mark.parametrize(
    ("age", "band"), [(0, "0-19"), (19.9, "0-19"), (20, "20-39"), (80, "80+"), (113, "80+"), (-1, None)]
)
def test_age_bands(age, band):
    assert checked(predictions([GOOD], age=[age])).column("age_band").to_pylist() == [band]


def test_pairs_are_the_known_ones_in_micro_in_their_finding_and_in_their_subgroups():
    batch = predictions([[0.1, 0.2], [0.3, -0.0]], [[1.0, float("nan")], [0.0, 1.0]], sex=["F", "M"])
    subgroups = [Subgroup("sex", "F", 1, 1), Subgroup("sex", "M", 1, 2)]
    pairs = pairs_of(checked(batch), 2, subgroups).to_pydict()
    found = sorted(zip(pairs["curve"], pairs["score"], pairs["label"], strict=True))
    micro = [(MICRO, 0.1, True), (MICRO, 0.3, False), (MICRO, 0.0, True)]
    all_images = [(0, 0.1, True), (0, 0.3, False), (1, 0.0, True)]
    by_sex = [(2, 0.1, True), (4, 0.3, False), (5, 0.0, True)]
    assert found == sorted([*micro, *all_images, *by_sex])
    assert not np.signbit(pairs["score"]).any()
