"""BigDL as a training backend: what `cxr_spark.training.backend.Backend` asks for."""

from cxr_spark.bigdl.launch import launch
from cxr_spark.bigdl.limits import check_settings

__all__ = ["check_settings", "launch"]
