"""torch as a training backend: what `cxr_spark.training.backend.Backend` asks for."""

from cxr_spark.config import Settings
from cxr_spark.training.driver.launch import launch

__all__ = ["check_settings", "launch"]


def check_settings(settings: Settings) -> None:
    """Accepts all settings: this is the backend that they were made for."""
