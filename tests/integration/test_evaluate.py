"""Evaluation on Spark against scikit-learn and an independent bootstrap."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from cxr_spark.evaluation.computation import evaluate
from cxr_spark.evaluation.reading.predictions import read_predictions
from cxr_spark.tables.schema import PREDICTIONS

FINDINGS = ("Mass", "Edema", "Hernia", "Nodule", "Pleural_Thickening", "No Finding")
MODEL = "ab" * 32


def cohort(n=700, seed=3, distinct=40, masked=0.15):
    """Images of patients with several each, heavy ties, masked labels, two one-class findings."""
    rng = np.random.default_rng(seed)
    labels = (rng.random((n, len(FINDINGS))) < [0.3, 0.1, 0.02, 0.5, 0.2, 0.4]).astype(np.float32)
    scores = (rng.integers(0, distinct, labels.shape) * 0.7 + labels * distinct * 0.3) / distinct
    labels[:, 4] = 0
    labels[rng.random(labels.shape) < masked] = np.nan
    labels[:, 3] = np.where(np.isnan(labels[:, 3]), np.nan, 1)
    return SimpleNamespace(
        labels=labels,
        scores=scores.astype(np.float32),
        patient=rng.integers(0, n // 4, n),
        sex=rng.choice(["F", "M"], n),
        age=rng.integers(1, 95, n).astype(float),
        view=rng.choice(["PA", "AP"], n),
    )


def write_scores(folder, data, order=None, files=1, **columns):
    """Writes predictions as the score job does."""
    n = len(data.scores)
    order = np.arange(n) if order is None else order
    table = {
        "image_index": [f"{i:05d}.png" for i in range(n)],
        "patient_id": [str(p) for p in data.patient],
        "view_position": list(data.view),
        "sex": list(data.sex),
        "age": list(data.age),
        "split": ["test"] * n,
        "labels": list(data.labels),
        "probabilities": list(data.scores),
        "model_id": [MODEL] * n,
        "engine": ["torch"] * n,
        "precision": ["fp32"] * n,
        **columns,
    }
    table = pa.table(table, schema=PREDICTIONS).replace_schema_metadata({b"findings": json.dumps(FINDINGS)})
    folder.mkdir()
    for i, part in enumerate(np.array_split(order, files)):
        pq.write_table(table.take(part), folder / f"part-{i}.parquet")
    summary = {"summary": {"findings": list(FINDINGS)}}
    (folder / "_done.json").write_text(json.dumps(summary))
    return folder.as_uri()


def run(spark, uri, **options):
    return evaluate(read_predictions(uri), lambda: spark, **{"replicates": 20, "seed": 1, **options})


@pytest.fixture(scope="module")
def data():
    return cohort()


@pytest.fixture(scope="module")
def evaluation(spark, data, tmp_path_factory):
    return run(spark, write_scores(tmp_path_factory.mktemp("scored") / "scores", data), replicates=200)


def known(data, i):
    there = ~np.isnan(data.labels[:, i])
    return data.labels[there, i], data.scores[there, i].astype(float)


def test_every_number_equals_sklearn(evaluation, data):
    for i, name in enumerate(FINDINGS):
        found, (truth, scores) = evaluation.metrics["findings"][name], known(data, i)
        assert (found["n_positive"], found["n_negative"]) == ((truth == 1).sum(), (truth == 0).sum())
        if name in ("Nodule", "Pleural_Thickening"):
            assert found["auc"] is None
            assert found["average_precision"] is None
            continue
        assert found["auc"] == pytest.approx(roc_auc_score(truth, scores), abs=1e-12)
        assert found["average_precision"] == pytest.approx(average_precision_score(truth, scores), abs=1e-12)
        false, true, _ = roc_curve(truth, scores)
        assert found["sensitivity"] + found["specificity"] - 1 == pytest.approx((true - false).max(), abs=1e-12)
        called = scores >= found["threshold"]
        assert found["sensitivity"] == pytest.approx(called[truth == 1].mean())


def test_macro_leaves_one_class_findings_out_and_micro_takes_them_in(evaluation, data):
    macro, micro = evaluation.metrics["macro"], evaluation.metrics["micro"]
    used = [found["auc"] for found in evaluation.metrics["findings"].values() if found["auc"] is not None]
    assert macro["auc"] == pytest.approx(np.mean(used), abs=1e-12)
    assert set(macro["findings_left_out"]) == {"Nodule", "Pleural_Thickening"}
    there = ~np.isnan(data.labels)
    truth, scores = data.labels[there], data.scores[there].astype(float)
    assert micro["auc"] == pytest.approx(roc_auc_score(truth, scores), abs=1e-12)
    assert micro["average_precision"] == pytest.approx(average_precision_score(truth, scores), abs=1e-12)


def test_counts_and_origin(evaluation, data):
    metrics = evaluation.metrics
    assert metrics["n_images"] == len(data.labels)
    assert metrics["n_patients"] == len(set(data.patient))
    assert (metrics["model_id"], metrics["split"]) == (MODEL, "test")
    json.dumps(metrics, allow_nan=False)


def test_subgroups_equal_sklearn_on_their_images(evaluation, data):
    band = np.array(["0-19", "20-39", "40-59", "60-79", "80+"])[np.minimum(data.age // 20, 4).astype(int)]
    groupings = {"sex": data.sex, "age_band": band, "view_position": data.view}
    assert set(evaluation.metrics["subgroups"]) == set(groupings)
    for grouping, values in groupings.items():
        for value, found in evaluation.metrics["subgroups"][grouping].items():
            inside = values == value
            assert found["n_images"] == inside.sum()
            aucs = []
            for i, name in enumerate(FINDINGS):
                there = inside & ~np.isnan(data.labels[:, i])
                truth = data.labels[there, i]
                expected = roc_auc_score(truth, data.scores[there, i]) if 0 < truth.mean() < 1 else None
                assert found["findings"][name]["auc"] == (expected if expected is None else pytest.approx(expected))
                aucs += [expected] if expected is not None else []
            assert found["macro_auc"] == pytest.approx(np.mean(aucs), abs=1e-12)


def test_crossings_and_differences_to_the_rest_equal_sklearn(evaluation, data):
    crossings = evaluation.metrics["subgroup_crossings"]
    assert set(crossings) == {"sex x age_band", "sex x view_position", "age_band x view_position"}
    inside = (data.sex == "F") & (data.view == "AP")
    found = crossings["sex x view_position"]["F, AP"]
    assert found["n_images"] == inside.sum()
    for i, name in enumerate(FINDINGS):
        there, row = ~np.isnan(data.labels[:, i]), found["findings"][name]
        truth = data.labels[there, i]
        if not 0 < truth.mean() < 1:
            assert row["auc_difference"] is None
            continue
        of_group, scores = inside[there], data.scores[there, i]
        aucs = [roc_auc_score(truth[rows], scores[rows]) for rows in (of_group, ~of_group)]
        assert row["auc"] == pytest.approx(aucs[0], abs=1e-12)
        assert row["auc_difference"] == pytest.approx(aucs[0] - aucs[1], abs=1e-12)
        low, high = row["auc_difference_ci95"]
        assert low < row["auc_difference"] < high
        assert row["auc_difference_p"] <= row["auc_difference_p_holm"]
        assert row["false_negative_rate"] == pytest.approx(np.mean(scores[of_group & (truth == 1)] < 0.5))
    sexes = evaluation.metrics["subgroups"]["sex"]
    assert sexes["F"]["macro_auc_difference"] == pytest.approx(-sexes["M"]["macro_auc_difference"], abs=1e-12)
    assert sexes["F"]["few"] is False
    assert found["findings"]["Hernia"]["few"] is True


@pytest.mark.parametrize(("files", "partitions"), [(1, 2), (5, 7)])
def test_no_digit_depends_on_row_order_files_or_partitions(spark, evaluation, data, tmp_path, files, partitions):
    order = np.random.default_rng(9).permutation(len(data.labels))
    uri = write_scores(tmp_path / "scores", data, order, files)
    other = run(spark, uri, replicates=200, partitions=partitions, most_pairs=0)
    assert other.metrics == evaluation.metrics
    for one, two in zip([*other.curves, other.micro], [*evaluation.curves, evaluation.micro], strict=True):
        np.testing.assert_array_equal(one.points, two.points)


def test_roc_curves_run_from_corner_to_corner_and_have_the_auc(evaluation):
    for curve in [*evaluation.curves, evaluation.micro]:
        true, false = curve.points
        assert (true[0], false[0], true[-1], false[-1]) == (0, 0, 1, 1)
        assert true.size <= 2000
        area = float(np.sum(np.diff(false) * (true[1:] + true[:-1]) / 2))
        assert area == pytest.approx(curve.auc, abs=2e-3)


def test_intervals_agree_with_an_independent_bootstrap_over_patients(spark, tmp_path):
    rng = np.random.default_rng(11)
    patients = 150
    images_each = rng.integers(1, 12, patients)
    patient = np.repeat(np.arange(patients), images_each)
    n = len(patient)
    # Labels and scores belong to the patient for the most part: images of one are far from independent.
    sick = rng.random(patients) < 0.4
    labels = np.zeros((n, len(FINDINGS)), dtype=np.float32)
    labels[:, 0] = sick[patient]
    level = rng.normal(size=patients) + sick
    scores = np.full(labels.shape, 0.5, dtype=np.float32)
    scores[:, 0] = 1 / (1 + np.exp(-(level[patient] + 0.2 * rng.normal(size=n))))
    data = SimpleNamespace(
        labels=labels, scores=scores, patient=patient, sex=["F"] * n, age=[50.0] * n, view=["PA"] * n
    )
    found = run(spark, write_scores(tmp_path / "scores", data), replicates=2000).metrics["findings"]["Mass"]

    def bootstrap(units):
        rows, aucs = [np.flatnonzero(units == unit) for unit in np.unique(units)], []
        while len(aucs) < 1000:
            drawn = np.concatenate([rows[i] for i in rng.integers(0, len(rows), len(rows))])
            aucs.append(roc_auc_score(labels[drawn, 0], scores[drawn, 0]))
        return np.quantile(aucs, [0.025, 0.975])

    by_patient, by_image = bootstrap(patient), bootstrap(np.arange(n))
    width = by_patient[1] - by_patient[0]
    np.testing.assert_allclose(found["auc_ci95"], by_patient, atol=0.1 * width)
    assert found["auc_ci95"][1] - found["auc_ci95"][0] > 1.5 * (by_image[1] - by_image[0])


def test_no_replicates_no_intervals(spark, data, tmp_path):
    metrics = run(spark, write_scores(tmp_path / "scores", data), replicates=0).metrics
    assert metrics["macro"]["auc_ci95"] is None
    assert metrics["findings"]["Mass"]["auc_ci95"] is None
    assert metrics["findings"]["Mass"]["auc"] is not None


def test_unknown_patients_splits_and_views(spark, data, tmp_path):
    n = len(data.labels)
    nothing = dict.fromkeys(("patient_id", "view_position", "sex", "age"), [None] * n)
    uri = write_scores(tmp_path / "scores", data, **nothing, split=["train"] * 10 + ["test"] * (n - 10))
    metrics = run(spark, uri).metrics
    assert metrics["n_patients"] is None
    assert metrics["subgroups"] == {}
    assert metrics["images_by_split"] == {"test": n - 10, "train": 10}
    assert any("training split" in warning for warning in metrics["warnings"])


def test_a_patient_in_two_splits_is_told(spark, data, tmp_path):
    n = len(data.labels)
    patients = ["same", "same", *(f"p{i}" for i in range(n - 2))]
    uri = write_scores(tmp_path / "scores", data, patient_id=patients, split=["val"] + ["test"] * (n - 1))
    metrics = run(spark, uri).metrics
    assert metrics["n_patients_in_several_splits"] == 1
    assert metrics["n_patients"] == n - 1
