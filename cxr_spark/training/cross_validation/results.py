"""What a cross-validation returns and tells: the result of each fold, and how the folds differ."""

from __future__ import annotations

import logging
import statistics
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from cxr_spark.outputs.results import JobResult

log = logging.getLogger(__name__)


class FoldResult(BaseModel):
    """The result of the training of one fold.

    Attributes:
        model: full URI of the model folder.
        model_id: SHA-256 of its weights.
        training_images: number of images that it was trained on.
        images: number of images of the fold, on which it was validated.
        patients: number of patients of the fold.
        epoch: the epoch whose weights the model has, counted from 1.
        val_loss: loss on the images of the fold; None where no label is known.
        val_macro_auc: mean of the AUCs of all findings on the images of the fold; None where it is not defined.
    """

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    model: str
    model_id: str
    training_images: int
    images: int
    patients: int
    epoch: int | None
    val_loss: float | None
    val_macro_auc: float | None


class Spread(BaseModel):
    """How a metric differs between the folds.

    Attributes:
        mean: its mean over the folds.
        standard_deviation: that of the sample, divided by one less than the number of folds; None for a single fold.
        lowest: its least value.
        highest: its largest value.
        folds: the number of folds in which it is defined.
    """

    model_config = ConfigDict(frozen=True)

    mean: float
    standard_deviation: float | None
    lowest: float
    highest: float
    folds: int


class CrossValidationResult(JobResult):
    """The result of a cross-validation.

    Attributes:
        folds: the result of each training, by the name of its folder, such as `fold_1`.
        val_macro_auc: how the macro AUC differs between the folds; None where it is defined in none.
        out_of_fold: full URI of the out-of-fold scores, an output as the score job writes it.
        images: number of images that have such a score.
        warnings: what puts these numbers into doubt, in words.
    """

    folds: dict[str, FoldResult]
    val_macro_auc: Spread | None
    out_of_fold: str
    images: int
    warnings: tuple[str, ...] = ()

    @property
    def models(self) -> list[str]:
        """The full URIs of all models, for the score job to average."""
        return [fold.model for fold in self.folds.values()]


def spread(values: Sequence[float | None]) -> Spread | None:
    """Sums up a metric of all folds; None where it is defined in none.

    >>> spread([0.7, None, 0.8]).mean
    0.75
    """
    defined = [value for value in values if value is not None]
    if not defined:
        return None
    return Spread(
        mean=statistics.fmean(defined),
        standard_deviation=statistics.stdev(defined) if len(defined) > 1 else None,
        lowest=min(defined),
        highest=max(defined),
        folds=len(defined),
    )


def tell(result: CrossValidationResult) -> None:
    """Logs the AUC of each fold, their mean and spread, and what can be done next."""
    for name, fold in result.folds.items():
        log.info(
            "%s: macro AUC %s on %d images of %d patients", name, _word(fold.val_macro_auc), fold.images, fold.patients
        )
    if result.val_macro_auc:
        found = result.val_macro_auc
        log.info(
            "macro AUC over %d folds: mean %s, standard deviation %s, from %s to %s",
            found.folds, *map(_word, (found.mean, found.standard_deviation, found.lowest, found.highest)),
        )  # fmt: skip
    log.info("out-of-fold scores of %d images: cxr-spark evaluate --predictions %s", result.images, result.out_of_fold)


def _word(value: float | None) -> str:
    return "not defined" if value is None else f"{value:.4f}"
