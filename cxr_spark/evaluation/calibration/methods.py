"""The methods of calibration: what each one fits, and how the report names it. No Spark."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from cxr_spark.evaluation.calibration.bins import Fitted
from cxr_spark.evaluation.calibration.isotonic import IsotonicCurves
from cxr_spark.evaluation.calibration.temperature import Temperatures
from cxr_spark.reporting.tables import Column


@dataclass(frozen=True)
class Method:
    """A method of calibration.

    Attributes:
        fit: fits it to the images without and with each finding, by the cell of their logit.
        facts: the fields of metrics.json that say what was fitted for a finding.
        words: what the method is called.
        fitted: what is fitted for each finding, in a word.
        column: the column of the table that tells it.
    """

    fit: Callable[[NDArray[np.int64], NDArray[np.int64]], Fitted]
    facts: tuple[str, ...]
    words: str
    fitted: str
    column: Column


#: The methods, by their names in the setting `evaluate.calibration` and in metrics.json.
METHODS: Mapping[str, Method] = MappingProxyType(
    {
        "temperature": Method(
            Temperatures.fitted,
            facts=("temperature",),
            words="temperature scaling",
            fitted="temperature",
            column=Column("Temperature", "three", "temperature"),
        ),
        "isotonic": Method(
            IsotonicCurves.fitted,
            facts=("levels", "isotonic"),
            words="isotonic regression",
            fitted="curve",
            column=Column("Levels", "count", "levels"),
        ),
    }
)
