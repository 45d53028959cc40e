"""torch as a training backend (`cxr_spark.training.backend.Backend`)."""

from __future__ import annotations

from collections.abc import Mapping

from cxr_spark.config import Settings
from cxr_spark.training.driver.launch import launch

__all__ = ["check_settings", "launch", "session"]


def check_settings(settings: Settings) -> None:
    """Accepts all settings: torch can do all that they offer."""


def session(settings: Settings, master: str | None, conf: Mapping[str, str]) -> tuple[str | None, Mapping[str, str]]:
    """Returns what was asked for: torch trains in any session."""
    return master, conf
