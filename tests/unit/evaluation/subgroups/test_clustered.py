"""Differences between a group and the rest against DeLong's definition and a bootstrap over patients."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import roc_auc_score

from cxr_spark.evaluation.counting.pairs import Subgroup
from cxr_spark.evaluation.reading.images import IMAGES
from cxr_spark.evaluation.subgroups.clustered import Ranked, mean_of
from cxr_spark.evaluation.subgroups.counting import MEAN, GroupMeasurer
from cxr_spark.evaluation.subgroups.differences import add_differences


def cohort(seed=0, patients=200, images=3, own=0.8):
    """Images of patients whose scores and labels are much alike."""
    rng = np.random.default_rng(seed)
    patient = np.repeat(np.arange(patients), images)
    sick = (rng.random(patients) < 0.4)[patient]
    labels = np.where(rng.random(patient.size) < 0.8, sick, ~sick)
    level = rng.normal(size=patients)[patient] * own + rng.normal(size=patient.size) * (1 - own)
    scores = np.round(level + 0.8 * labels, 2)
    member = (rng.random(patients) < 0.4)[patient]
    return scores, labels, patient, member


def delong_variance(scores, labels):
    """The variance of one AUC by its definition of 1988, over all pairs."""
    positive, negative = scores[labels], scores[~labels]
    better = (positive[:, None] > negative) + 0.5 * (positive[:, None] == negative)
    by_positive, by_negative = better.mean(axis=1), better.mean(axis=0)
    return by_positive.var(ddof=1) / len(positive) + by_negative.var(ddof=1) / len(negative)


def test_with_one_image_a_patient_it_is_delongs_variance():
    scores, labels, _, member = cohort()
    n = scores.size
    found = Ranked.of(scores, labels, np.arange(n), n, 0.5).auc_difference(member)
    assert found.inside == pytest.approx(roc_auc_score(labels[member], scores[member]), abs=1e-12)
    assert found.outside == pytest.approx(roc_auc_score(labels[~member], scores[~member]), abs=1e-12)
    both = delong_variance(scores[member], labels[member]) + delong_variance(scores[~member], labels[~member])
    assert found.variance == pytest.approx(both, rel=1e-9)
    assert found.variance_inside == pytest.approx(delong_variance(scores[member], labels[member]), rel=1e-9)


@pytest.mark.parametrize("by_patient", [True, False], ids=["groups of patients", "groups of images"])
def test_the_variance_is_that_of_a_bootstrap_over_patients(by_patient):
    scores, labels, patient, member = cohort(patients=150)
    if not by_patient:  # as view positions are: a patient has images in both
        member = np.random.default_rng(1).random(scores.size) < 0.5
    ranked = Ranked.of(scores, labels, patient, 150, 0.9)
    auc, missed = ranked.auc_difference(member), ranked.missed_difference(member)
    rng = np.random.default_rng(5)
    drawn = []
    for _ in range(300):
        rows = (rng.integers(0, 150, 150)[:, None] * 3 + np.arange(3)).ravel()  # three images a patient, in order
        inside, outside = (rows[member[rows] == value] for value in (True, False))
        drawn.append(
            [
                roc_auc_score(labels[inside], scores[inside]) - roc_auc_score(labels[outside], scores[outside]),
                np.mean(scores[inside][labels[inside]] < 0.9) - np.mean(scores[outside][labels[outside]] < 0.9),
            ]
        )
    errors = np.std(drawn, axis=0)
    assert np.sqrt(auc.variance) == pytest.approx(errors[0], rel=0.15)
    assert np.sqrt(missed.variance) == pytest.approx(errors[1], rel=0.15)
    assert missed.away == pytest.approx(
        np.mean(scores[member & labels] < 0.9) - np.mean(scores[~member & labels] < 0.9), abs=1e-12
    )


def test_the_mean_over_findings_knows_that_they_are_of_the_same_patients():
    scores, labels, patient, member = cohort()
    found = Ranked.of(scores, labels, patient, 200, 0.5).auc_difference(member)
    assert mean_of([found, found]).variance == pytest.approx(found.variance)
    assert mean_of([]) is None


@pytest.mark.parametrize("member", [np.zeros(600, bool), np.ones(600, bool), np.arange(600) == 3])
def test_a_group_without_both_classes_has_no_difference(member):
    scores, labels, patient, _ = cohort()
    assert Ranked.of(scores, labels, patient, 200, 0.5).auc_difference(member) is None


def images(order, sex):
    """Checked images of two findings, the second of which has unknown labels."""
    scores, labels, patient, _ = cohort()
    truth = np.stack([labels, labels], 1).astype(float)
    truth[::5, 1] = np.nan
    columns = {name: pa.nulls(len(order), IMAGES.field(name).type) for name in IMAGES.names}
    columns["image_index"] = pa.array([f"{i:04d}" for i in order])
    columns["patient"] = pa.array(patient[order])
    columns["sex"] = pa.array(sex[order])
    columns["labels"] = pa.array(truth[order].tolist(), IMAGES.field("labels").type)
    columns["scores"] = pa.array(np.stack([scores, -scores], 1)[order].tolist(), IMAGES.field("scores").type)
    return pa.Table.from_arrays(list(columns.values()), schema=IMAGES)


def test_no_digit_depends_on_the_order_of_images():
    sex = np.random.default_rng(2).choice(["F", "M"], 600)
    measurer = GroupMeasurer([Subgroup("sex", "F", 1, 1), Subgroup("sex", "M", 1, 2)], [0.5, np.nan])
    one = list(measurer.measured(images(np.arange(600), sex)))
    assert list(measurer.measured(images(np.random.default_rng(3).permutation(600), sex))) == one
    assert [(row["group"], row["finding"]) for row in one] == [(1, 0), (1, 1), (1, MEAN), (2, 0), (2, 1), (2, MEAN)]
    assert one[0]["auc_inside"] == one[3]["auc_outside"]
    assert one[0]["n_positive"] + one[3]["n_positive"] == cohort()[1].sum()
    assert one[1]["missed_inside"] is None
    assert one[2]["missed_inside"] == one[0]["missed_inside"]


def test_nothing_is_measured_where_there_are_no_subgroups():
    add_differences({}, None, [], ["Mass"], [0.5])
