"""What computes probabilities, and in which number format: chosen on the driver, recorded with every score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cxr_spark.config import ScoreSettings
from cxr_spark.config.precision import EngineName, NumberFormat, scored_by, scored_in
from cxr_spark.runtime.requirements import check_packages, check_torch


@dataclass(frozen=True)
class Engine:
    """What computes probabilities.

    Attributes:
        name: the library that runs the network.
        precision: the number format.
    """

    name: EngineName = "torch"
    precision: NumberFormat = "fp32"

    def described(self) -> dict[str, str]:
        """Returns what the description of scores says of the engine: JSON values."""
        return {"engine": self.name, "scoring_precision": self.precision}

    @property
    def fingerprint(self) -> dict[str, Any]:
        """What decides the result: nothing where it is float32 by torch, else the description."""
        return {} if self == Engine() else self.described()


def engine_of(settings: ScoreSettings) -> Engine:
    """Returns the engine that the settings ask for."""
    return Engine(scored_by(settings.engine), scored_in(settings.precision))


def check_installed(engine: Engine, user: str) -> None:
    """Checks that the driver has the library of an engine.

    Args:
        engine: what computes the probabilities.
        user: the command or function that needs it, as the message quotes it.

    Raises:
        UsageError: it is missing; the message says how to install it.
    """
    if engine.name == "openvino":
        check_packages(f"`{user}` with the engine openvino", ("openvino",), "openvino")
    else:
        check_torch(user)
