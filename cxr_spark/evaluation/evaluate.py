"""Evaluates predictions: the numbers of metrics.json, and the curves for the plots."""

from __future__ import annotations

import logging
import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cxr_spark import __version__
from cxr_spark.evaluation import metrics
from cxr_spark.evaluation.buckets import Curve
from cxr_spark.evaluation.checks import check, checked
from cxr_spark.evaluation.distributed import curves_of
from cxr_spark.evaluation.pairs import MICRO, first_curve
from cxr_spark.evaluation.plots import RocCurve
from cxr_spark.evaluation.predictions import Predictions
from cxr_spark.evaluation.subgroups import values_of

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Evaluation:
    """The result.

    Attributes:
        metrics: what metrics.json holds, JSON values only.
        curves: ROC curves of the findings that have both classes.
        micro: the ROC curve of all pairs; None where they are of one class.
    """

    metrics: dict[str, Any]
    curves: list[RocCurve]
    micro: RocCurve | None


def evaluate(
    predictions: Predictions,
    *,
    replicates: int,
    seed: int,
    synthetic: bool = False,
    partitions: int | None = None,
) -> Evaluation:
    """Checks and evaluates predictions.

    Args:
        predictions: with labels.
        replicates: bootstrap replicates over patients; 0: no intervals.
        seed: of the bootstrap.
        synthetic: whether the images are known to be synthetic.
        partitions: into how many ranges the scores are sorted; default by their number. Changes no number.

    Raises:
        DataError: the predictions are faulty or have no labels.
    """
    from pyspark import StorageLevel

    started = time.monotonic()
    frame = checked(predictions).persist(StorageLevel.MEMORY_AND_DISK)
    try:
        inventory = check(frame, predictions.source)
        labelled = frame.where("labels is not null")
        subgroups, splits = values_of(labelled)
        findings, truth = predictions.findings, predictions.truth
        curves = curves_of(
            labelled,
            n_images=inventory.n_images,
            n_findings=len(findings),
            subgroups=subgroups,
            replicates=replicates,
            seed=seed,
            partitions=partitions,
        )
        crossing = _patients_in_several_splits(labelled) if len(splits) > 1 else 0
        spark_version = str(frame.sparkSession.version)
    finally:
        frame.unpersist()

    def in_group(group: int) -> dict[str, Curve]:
        numbered = enumerate(findings, start=first_curve(group, len(findings)))
        return {name: curves.get(number, metrics.NO_CURVE) for number, name in numbered}

    by_finding, pooled = in_group(0), curves.get(MICRO, metrics.NO_CURVE)
    groups: dict[str, dict[str, Any]] = {}
    for group in subgroups:
        groups.setdefault(group.grouping, {})[group.value] = metrics.of_subgroup(in_group(group.number), group.n_images)
    result: dict[str, Any] = {
        "findings": {name: metrics.of_finding(curve) for name, curve in by_finding.items()},
        "macro": metrics.macro(by_finding),
        "micro": metrics.micro(pooled),
        "subgroups": groups,
        "n_images": inventory.n_images,
        "n_patients": inventory.n_patients,
        "n_images_without_patient": inventory.n_without_patient,
        "n_patients_in_several_splits": crossing,
        "split": "+".join(splits) or None,
        "images_by_split": splits,
        "model_id": inventory.model_id,
        "unmatched": {
            "predictions_without_label": inventory.n_unlabelled,
            "labels_without_prediction": None if truth is None else truth.facts.num_rows - inventory.n_images,
        },
        "bootstrap": {"replicates": replicates, "seed": seed, "unit": "patient", "method": "Poisson, percentile"},
        "synthetic": synthetic,
        "versions": _versions(spark_version),
    }
    result["warnings"] = metrics.warnings_of(result)
    drawn = [_roc(name, curve) for name, curve in by_finding.items()]
    log.info(
        "evaluated %d images of %d findings in %.1f s", inventory.n_images, len(findings), time.monotonic() - started
    )
    return Evaluation(result, [curve for curve in drawn if curve is not None], _roc("micro", pooled))


def _roc(name: str, curve: Curve) -> RocCurve | None:
    if curve.auc is None or curve.roc is None:
        return None
    return RocCurve(name, curve.auc, curve.roc)


def _patients_in_several_splits(labelled: Any) -> int:
    from pyspark.sql import functions as F  # noqa: N812 (its usual name)

    known = labelled.where("patient_known and split is not null")
    return int(known.groupBy("patient").agg(F.count_distinct("split").alias("n")).where("n > 1").count())


def _versions(spark: str) -> Mapping[str, str]:
    return {"cxr_spark": __version__, "spark": spark, "python": platform.python_version(), "numpy": np.__version__}
