"""Finds the images that a model is most wrong about. The search runs on executors; nothing here needs Spark."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cxr_spark.evaluation.reading.images import matrix_of

if TYPE_CHECKING:
    from cxr_spark.evaluation.image_sets.base import ImageSet

FALSE_POSITIVES, FALSE_NEGATIVES = "false_positives", "false_negatives"
#: One wrong decision about a finding of an image.
MISTAKES = pa.schema(
    [
        pa.field("finding", pa.int32(), nullable=False),
        pa.field("called", pa.bool_(), nullable=False),  # true: a false positive; false: a false negative
        pa.field("image", pa.string(), nullable=False),
        pa.field("score", pa.float64(), nullable=False),
    ]
)
#: The number of false positives, and of false negatives, that are named for each finding.
MOST_NAMED = 4


@dataclass(frozen=True)
class MistakeFinder:
    """Finds the mistakes with the most confident scores. Spark sends it to the executors.

    Attributes:
        thresholds: float64 of shape (findings,): a finding is called present where its score is at or above its
            threshold. None where each image has one class, which is the one with the highest score.
        findings: the number of findings.
        most: the number of false positives and of false negatives of each finding that are named.
    """

    thresholds: NDArray[np.float64] | None
    findings: int
    most: int = MOST_NAMED

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Takes rows of `images.IMAGES`, all labelled, and yields rows of `MISTAKES`, the worst of each batch."""
        for batch in batches:
            images = pa.Table.from_batches([batch])
            if images.num_rows:
                yield pa.RecordBatch.from_pylist(list(self._worst_of(images)), schema=MISTAKES)

    def _worst_of(self, images: pa.Table) -> Iterator[dict[str, Any]]:
        names = images.column("image_index")
        labels, scores = (matrix_of(images, name, self.findings) for name in ("labels", "scores"))
        called = self._called(scores)
        for finding in range(self.findings):
            label, score = labels[:, finding], scores[:, finding]
            for wrong, confidence in (
                (called[:, finding] & (label == 0), score),
                (~called[:, finding] & (label == 1), -score),
            ):
                rows = np.flatnonzero(wrong)
                if rows.size > self.most:  # those that are as bad as the last one that is named stay: names decide
                    kept = np.partition(confidence[rows], rows.size - self.most)[rows.size - self.most]
                    rows = rows[confidence[rows] >= kept]
                found = [(-confidence[row], names[row].as_py(), row) for row in rows.tolist()]
                for _, name, row in sorted(found)[: self.most]:
                    is_called = bool(called[row, finding])
                    yield {"finding": finding, "called": is_called, "image": name, "score": float(score[row])}

    def _called(self, scores: NDArray[np.float64]) -> NDArray[np.bool_]:
        if self.thresholds is not None:
            return scores >= self.thresholds
        return np.asarray(np.arange(self.findings) == scores.argmax(axis=1)[:, None])


def worst_mistakes(
    evaluated: ImageSet, findings: Sequence[str], rule: str, thresholds: Sequence[float | None]
) -> dict[str, Any]:
    """Finds the false positives with the highest and the false negatives with the lowest probabilities.

    Args:
        evaluated: checked images, all with labels.
        findings: the names of the findings, in the order of labels and scores.
        rule: the rule of the decisions, one of `classification.RULES`.
        thresholds: the threshold of each finding; None for each where the most probable class is decided for.

    Returns:
        The part `mistakes` of metrics.json: the rule, and in `findings` of each finding its threshold, its
        `false_positives` and its `false_negatives`: names and probabilities, the most confident mistake first, of
        equal ones the first name.
    """
    by_threshold = all(threshold is not None for threshold in thresholds)
    finder = MistakeFinder(np.array(thresholds, np.float64) if by_threshold else None, len(findings))
    named: dict[str, Any] = {
        name: {"threshold": threshold, FALSE_POSITIVES: [], FALSE_NEGATIVES: []}
        for name, threshold in zip(findings, thresholds, strict=True)
    }
    for row in sorted(evaluated.each(finder, MISTAKES), key=_worst_first):
        of_kind = named[findings[row["finding"]]][FALSE_POSITIVES if row["called"] else FALSE_NEGATIVES]
        if len(of_kind) < MOST_NAMED:
            of_kind.append({"image_index": row["image"], "probability": row["score"]})
    return {"rule": rule, "findings": named}


def _worst_first(row: dict[str, Any]) -> tuple[float, str]:
    return (-row["score"] if row["called"] else row["score"], row["image"])
