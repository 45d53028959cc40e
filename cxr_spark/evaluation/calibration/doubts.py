"""Says where a calibration is missing or rests on too few images, in sentences for the report. No Spark."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from cxr_spark.evaluation.calibration.isotonic import FEW_IMAGES, FEW_OF_A_CLASS
from cxr_spark.reporting.numbers import count, words


def doubts_of(calibration: Mapping[str, Any]) -> Iterable[str]:
    """Yields what a reader of calibrated probabilities should know.

    Temperatures are one number each, and the table shows where there is none; a curve can follow chance.

    Args:
        calibration: the part `calibration` of metrics.json.
    """
    if calibration["method"] != "isotonic":
        return
    if calibration["fitted_on"] is None:
        yield (
            "Isotonic regression was asked for, and nothing was fitted: it needs validation images beside the "
            "evaluated ones (--split test)."
        )
        return
    bare = [words(name) for name, row in calibration["findings"].items() if not row["fitted"]]
    if bare:
        yield (
            f"Isotonic regression was not fitted for {', '.join(bare)}, since the validation images with a known label "
            "are all with or all without the finding, or there are none: these probabilities are not calibrated."
        )
    few = [
        f"{words(name)} ({count(row['fitted_positive'])} with it, {count(row['fitted_negative'])} without)"
        for name, row in calibration["findings"].items()
        if row["fitted"] and _is_few(row["fitted_positive"], row["fitted_negative"])
    ]
    if few:
        yield (
            f"Isotonic regression was fitted on few validation images, so that its curve follows their chance "
            f"(over-fitting): {', '.join(few)}. With fewer than {count(FEW_IMAGES)} images, or {FEW_OF_A_CLASS} with "
            f"or without the finding, --calibration temperature is steadier."
        )


def _is_few(positive: int, negative: int) -> bool:
    return positive + negative < FEW_IMAGES or min(positive, negative) < FEW_OF_A_CLASS
