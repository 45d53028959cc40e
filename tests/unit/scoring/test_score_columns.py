"""Columns by finding, calls, and scores as CSV: what a spreadsheet, pandas and an evaluation read there."""

from __future__ import annotations

import io
import json
import logging

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from cxr_spark.commands.main import parse
from cxr_spark.commands.score import job as job_of
from cxr_spark.config import Settings
from cxr_spark.errors import DataError, UsageError
from cxr_spark.evaluation.reading.columns import Layout, find_columns
from cxr_spark.evaluation.reading.rows import RowReader
from cxr_spark.evaluation.reading.tables import open_table
from cxr_spark.scoring.job import ScoreJob
from cxr_spark.scoring.thresholds import thresholds_of
from cxr_spark.tables.schema import PREDICTIONS
from cxr_spark.tables.score_columns import ScoreForm, as_csv

FINDINGS = ("Effusion", "Mass, left")
#: Names of files and patients that a spreadsheet would run, or that look as if they had been made safe already.
NAMES = ["=1+1.png", "+a", "-b", "@c", "'=d", "'plain", "  =e", 'q"u,o', "a.png"]
RNG = np.random.default_rng(0)
SCORES = RNG.random((len(NAMES), 2)).astype(np.float32)
LABELS = np.where(RNG.random(SCORES.shape) < 0.3, np.nan, (RNG.random(SCORES.shape) < 0.5) * 1.0).astype(np.float32)


def scores(labels=LABELS) -> pa.Table:
    n = len(NAMES)
    columns = {
        "image_index": NAMES,
        "patient_id": ["=p", *map(str, range(n - 1))],
        "view_position": ["PA"] * n,
        "sex": ["F"] * (n - 1) + [None],
        "age": [None, *map(float, range(n - 1))],
        "split": ["test"] * n,
        "labels": [None] * n if labels is None else labels.tolist(),
        "probabilities": SCORES.tolist(),
        "model_id": ["0" * 64] * n,
        "engine": ["torch"] * n,
        "precision": ["fp32"] * n,
    }
    return pa.table(columns, schema=PREDICTIONS)


def test_each_finding_has_its_columns_beside_the_lists():
    whole = ScoreForm(by_finding=True, thresholds=(0.5, None)).complete(scores(), FINDINGS)
    assert whole.select(PREDICTIONS.names).drop_columns("labels").equals(scores().drop_columns("labels"))  # it has NaN
    frame = whole.to_pandas()
    for place, name in enumerate(FINDINGS):
        np.testing.assert_array_equal(frame[f"prob_{name}"], SCORES[:, place])
        np.testing.assert_array_equal(frame[f"label_{name}"], LABELS[:, place])
    assert frame["call_Effusion"].tolist() == (SCORES[:, 0] >= 0.5).tolist()
    assert frame["threshold_Effusion"].tolist() == [0.5] * len(NAMES)
    assert frame[["call_Mass, left", "threshold_Mass, left"]].isna().all(axis=None)
    assert [list(row) for row in frame["calls"]] == [[bool(score >= 0.5), None] for score in SCORES[:, 0]]


def test_no_cell_of_the_csv_is_a_formula_and_pandas_reads_the_numbers():
    whole = ScoreForm("csv", by_finding=True, thresholds=(0.5, None)).complete(scores(), FINDINGS)
    text = bytes(as_csv(whole)).decode()
    frame = pd.read_csv(io.StringIO(text), dtype={"image_index": str, "patient_id": str})
    assert list(frame) == [
        "image_index", "patient_id", "view_position", "sex", "age", "split", "model_id", "engine", "precision",
        "label_Effusion", "prob_Effusion", "call_Effusion", "threshold_Effusion",
        "label_Mass, left", "prob_Mass, left", "call_Mass, left", "threshold_Mass, left",
    ]  # fmt: skip
    for name in ("image_index", "patient_id"):
        assert not frame[name].str.strip().str.startswith(("=", "+", "-", "@")).any()
    np.testing.assert_array_equal(frame["prob_Effusion"], SCORES[:, 0].astype(np.float64))
    np.testing.assert_array_equal(frame["label_Mass, left"], LABELS[:, 1])


@pytest.mark.parametrize("labels", [LABELS, None])
def test_an_evaluation_reads_from_the_csv_what_was_scored(tmp_path, labels):
    whole = ScoreForm("csv", by_finding=True).complete(scores(labels), FINDINGS)
    (tmp_path / "part-00000-abc.csv").write_bytes(as_csv(whole))
    table = open_table(f"file://{tmp_path}")
    columns = find_columns(table, Layout(), None)
    assert columns.findings == FINDINGS
    rows = pa.Table.from_batches(RowReader(table, columns)([pa.record_batch({"id": [0]})])).to_pandas()
    assert rows["malformed"].isna().all()
    assert rows["image_index"].tolist() == NAMES
    assert rows["patient_id"].tolist() == scores()["patient_id"].to_pylist()
    assert rows["age"].tolist()[1:] == [float(i) for i in range(len(NAMES) - 1)]
    np.testing.assert_array_equal(np.stack(rows["scores"]), SCORES.astype(np.float64))
    if labels is None:
        assert rows["labels"].isna().all()
    else:
        np.testing.assert_array_equal(np.stack(rows["labels"]), LABELS)


def test_images_and_patients_that_are_named_like_a_missing_value_stay(tmp_path):
    names = ["NA", "null", "nan", "None", "#N/A", " blank", "blank "]
    n = len(names)
    columns = dict.fromkeys(PREDICTIONS.names, [None] * n) | {"image_index": names, "patient_id": [*names[:-1], None]}
    columns |= {"labels": [[0.0, 1.0]] * n, "probabilities": [[0.5, 0.25]] * n, "model_id": ["0" * 64] * n}
    whole = ScoreForm("csv", by_finding=True).complete(pa.table(columns, schema=PREDICTIONS), FINDINGS)
    (tmp_path / "part-00000-abc.csv").write_bytes(as_csv(whole))
    table = open_table(f"file://{tmp_path}")
    reader = RowReader(table, find_columns(table, Layout(), None))
    rows = pa.Table.from_batches(reader([pa.record_batch({"id": [0]})]))
    assert rows["image_index"].to_pylist() == names
    assert rows["patient_id"].to_pylist() == columns["patient_id"]
    assert rows["malformed"].null_count == rows["sex"].null_count == n


def test_a_damaged_cell_far_down_the_csv_is_told(tmp_path):
    frame = pd.DataFrame(
        {name: [""] * 50 for name in PREDICTIONS.names if name not in ("labels", "probabilities")}
        | {"image_index": [f"{i}.png" for i in range(50)], "label_A": [""] * 49 + ["yes"], "prob_A": [0.5] * 50}
    )
    frame.to_csv(tmp_path / "a.csv", index=False)
    table = open_table(f"file://{tmp_path}/a.csv")
    reader = RowReader(table, find_columns(table, Layout(), None))
    told = pa.Table.from_batches(reader([pa.record_batch({"id": [0]})]))["malformed"].to_pylist()
    assert told == [None] * 49 + ["image '49.png' has 'yes' in column 'label_A': expected a number or nothing"]


def test_thresholds_are_those_of_the_same_model(tmp_path):
    def write(**changes) -> str:
        points = {"f1": {"Mass, left": {"threshold": 0.25}, "Effusion": {"threshold": None}}}
        metrics = {"model_id": "ab" * 32, "operating_points": {"points": points}, **changes}
        (tmp_path / "metrics.json").write_text(json.dumps(metrics))
        return f"file://{tmp_path}"

    assert thresholds_of(write(), "f1", "ab" * 32, FINDINGS) == (None, 0.25)
    with pytest.raises(DataError, match=r"is the evaluation of model cdcd.*evaluate this model's scores first"):
        thresholds_of(write(model_id="cd" * 32), "f1", "ab" * 32, FINDINGS)
    with pytest.raises(DataError, match="chose no thresholds on validation images"):
        thresholds_of(write(operating_points=None), "f1", "ab" * 32, FINDINGS)
    with pytest.raises(DataError, match="threshold of 'Effusion' is 'x': expected a number"):
        thresholds_of(
            write(operating_points={"points": {"f1": {"Effusion": {"threshold": "x"}}}}), "f1", "ab" * 32, FINDINGS
        )
    with pytest.raises(DataError, match=r"no metrics\.json there"):
        thresholds_of(f"file://{tmp_path}/nothing", "f1", "ab" * 32, FINDINGS)
    (tmp_path / "metrics.json").write_text('{"model_id": "ab')
    with pytest.raises(DataError, match="evaluate again"):
        thresholds_of(f"file://{tmp_path}", "f1", "ab" * 32, FINDINGS)
    for points in ([], {"points": []}, {"points": {"f1": 3}}):
        with pytest.raises(DataError, match="chose no thresholds on validation images"):
            thresholds_of(write(operating_points=points), "f1", "ab" * 32, FINDINGS)


def evaluation(folder, points, **changes) -> str:
    metrics = {"model_id": "m", "operating_points": {"points": {"f1": points}}, "model": {}, **changes}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    return f"file://{folder}"


def test_thresholds_of_findings_by_other_names_are_found_and_missing_ones_are_told(tmp_path, caplog):
    uri = evaluation(tmp_path, {"Pleural Effusion": {"threshold": 0.5}, "Mass": {"threshold": None}})
    with caplog.at_level(logging.WARNING):
        assert thresholds_of(uri, "f1", "m", ("Mass", "Effusion")) == (None, 0.5)
    assert "1 findings have no threshold" in caplog.text
    assert "Mass" in caplog.text
    with pytest.raises(DataError, match=r"no threshold for any of the findings Hernia: it is about Pleural Effusion"):
        thresholds_of(uri, "f1", "m", ("Hernia",))


@pytest.mark.parametrize(
    ("evaluated", "scored", "said"),
    [
        ({"calibrate": "platt", "calibration": "x"}, {}, r"calibrate=platt, these are made with calibrate=none"),
        ({"average": "ranks"}, {"average": "probabilities"}, r"average=ranks, these are made with average=probabil"),
        ({}, {"tta": "flip"}, r"tta=none, these are made with tta=flip"),
        ({"scoring_precision": "bf16"}, {"scoring_precision": "fp32"}, r"scoring_precision=bf16, these .*=fp32"),
    ],
)
def test_thresholds_of_probabilities_that_were_made_otherwise_are_refused(tmp_path, evaluated, scored, said):
    uri = evaluation(tmp_path, {"Mass": {"threshold": 0.5}}, model={"architecture": "a", **evaluated})
    with pytest.raises(DataError, match=said):
        thresholds_of(uri, "f1", "m", ("Mass",), {"architecture": "a", **scored})
    assert thresholds_of(uri, "f1", "m", ("Mass",), {"architecture": "a", **evaluated}) == (0.5,)


def test_an_operating_point_without_thresholds_is_refused():
    with pytest.raises(UsageError, match="--operating-point youden needs --thresholds"):
        ScoreJob.from_options(Settings(), model="m", out="o", data="d", operating_point="youden")


@pytest.mark.parametrize("point", [(), ("--operating-point", "youden", "--thresholds", "/e")], ids=["none", "youden"])
def test_a_command_line_scores_without_an_operating_point_and_with_one(point):
    args = parse(["score", "--data", "/d", "--model", "/m", "--out", "/o", *point])
    args.settings = Settings()
    settings = job_of(args).settings
    assert (settings.operating_point, settings.thresholds) == (("youden", "/e") if point else ("f1", None))
