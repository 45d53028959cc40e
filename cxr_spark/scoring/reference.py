"""The reference images: validation images that all models score first, and by which they are calibrated or ranked."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cxr_spark.errors import DataError
from cxr_spark.imaging.prepare import use_one_thread
from cxr_spark.runtime.tasks import run_parts
from cxr_spark.scoring.combining import Combination, Probabilities, logits
from cxr_spark.scoring.ensemble import ShippedEnsemble
from cxr_spark.scoring.labels import labels_in_order
from cxr_spark.scoring.plan import PreparedPart, label_order, prepared_parts
from cxr_spark.scoring.platt import fit_platt
from cxr_spark.scoring.shipping import threads_of_a_task
from cxr_spark.storage.store import Store
from cxr_spark.tables.prepared import PreparedDataset, binary_images
from cxr_spark.tables.prepared_files import naming_damage, read_batches

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

log = logging.getLogger(__name__)

SPLIT = "val"
#: The most reference images whose probabilities are kept for ranks. Of more, evenly spaced ones of the sorted are kept.
_MAX_RANKED = 10_000
_UNCHANGED = (1.0, 0.0)


class Scored(NamedTuple):
    """The probabilities and labels of some reference images.

    Attributes:
        members: float32 (members, N, K) probabilities.
        labels: float32 (N, K); NaN where a label is not known.
    """

    members: NDArray[np.float32]
    labels: NDArray[np.float32]


@dataclass(frozen=True)
class ReferenceScorer:
    """Scores reference images. Spark sends it to the executors; a few numbers for each image come back to the driver.

    Attributes:
        model: the models.
        data: the full URI of the prepared dataset.
        labels: what `plan.label_order` returned.
        threads: the number of CPU threads of a task.
        batch: the number of images in a forward pass.
    """

    model: ShippedEnsemble
    data: str
    labels: tuple[int | None, ...]
    threads: int
    batch: int

    def __call__(self, parts: Iterable[PreparedPart]) -> Iterator[Scored]:
        """Computes the probabilities of all members.

        Raises:
            DataError: the prepared data are damaged.
            RunError: a file cannot be read, or a model was replaced.
        """
        use_one_thread()
        store = Store(self.data)
        for part in parts:
            model = self.model.on_worker(self.threads)
            for rows in read_batches(store, part.name, ("labels", "pixels"), self.batch, part.sha256):
                with naming_damage(store.uri_of(part.name)):
                    labels, pixels = labels_in_order(rows, self.labels), binary_images(rows["pixels"])
                yield Scored(np.stack(model.members([pixels] * len(model.models), self.batch)), labels)


def open_reference(uri: str, findings: Sequence[str]) -> PreparedDataset:
    """Opens prepared data that models are to be calibrated on.

    Raises:
        DataError: there is no such dataset, it has no validation images, or no finding in common with the models.
    """
    dataset = PreparedDataset.open(uri)
    label_order(findings, dataset.findings, uri)
    if not dataset.images(SPLIT):
        raise DataError(
            f"{uri} has no images in split {SPLIT}, on which models are calibrated and ranked: prepare it with a "
            "--val-fraction, or give other prepared data by --calibration-data"
        )
    return dataset


def combination_of(
    spark: SparkSession,
    dataset: PreparedDataset,
    model: ShippedEnsemble,
    findings: Sequence[str],
    *,
    platt: bool,
    base: Combination,
    batch: int,
) -> Combination:
    """Scores the reference images, and calibrates or ranks by them.

    Args:
        spark: the session.
        dataset: what `open_reference` returned.
        model: the models.
        findings: the findings of the models, in order.
        platt: whether to fit Platt's calibration; if not, the probabilities are kept for ranks.
        base: the combination without calibration and ranks.
        batch: the number of images in a forward pass.

    Returns:
        The combination with the calibration or the ranks.

    Raises:
        DataError: the prepared data are damaged.
        RunError: a task failed.
    """
    parts = prepared_parts(dataset, SPLIT)
    places = label_order(findings, dataset.findings, dataset.store.uri)
    scorer = ReferenceScorer(model, dataset.store.uri, places, threads_of_a_task(spark, len(parts)), batch)
    found = run_parts(spark, parts, scorer, "calibrating")
    members = np.concatenate([part.members for part in found], axis=1)
    labels = np.concatenate([part.labels for part in found])
    log.info("scored %d validation images of %s to calibrate by", len(labels), dataset.store.uri)
    if platt:
        return Combination(base.average, base.one_softmax, platt=fit_all(members, labels, findings))
    return Combination(base.average, base.one_softmax, reference=tuple(map(_sorted, members)))


def fit_all(members: NDArray[np.float32], labels: NDArray[np.float32], findings: Sequence[str]) -> NDArray[np.float64]:
    """Fits Platt's calibration of each member and finding, on the images whose label is known.

    A finding whose known labels are all alike is left uncalibrated, and so is a finding of a member that is no better
    than chance at it. A warning names both.

    Args:
        members: (members, N, K) probabilities.
        labels: (N, K).
        findings: K names.

    Returns:
        (members, K, 2): slopes and offsets of the logits.
    """
    fitted = np.tile(np.array(_UNCHANGED), (members.shape[0], members.shape[2], 1))
    for k, name in enumerate(findings):
        known = ~np.isnan(labels[:, k])
        truth = labels[known, k].astype(np.float64)
        if len(np.unique(truth > 0.5)) < 2:
            log.warning("%s is not calibrated: its labels of the validation images are all alike, or not known", name)
            continue
        for i, member in enumerate(members):
            slope, offset = fit_platt(logits(member[known, k]), truth)
            if slope > 0:
                fitted[i, k] = slope, offset
            else:
                log.warning("%s is not calibrated for model %d: it knows no more of it than chance", name, i + 1)
    return fitted


def _sorted(member: Probabilities) -> Probabilities:
    ordered = np.sort(member, axis=0)
    if len(ordered) > _MAX_RANKED:
        ordered = ordered[np.linspace(0, len(ordered) - 1, _MAX_RANKED).round().astype(int)]
    return ordered
