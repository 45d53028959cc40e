"""Every setting of the pipeline, with type, default, range and meaning.

Settings come from a YAML file (`--config`), then `--set section.name=value`, then a command's own options; later ones
win. Names that are not known are refused.
"""

from cxr_spark.config.explore import ExploreSettings
from cxr_spark.config.model import ModelSettings
from cxr_spark.config.pipeline import PipelineSettings
from cxr_spark.config.prepare import PrepareSettings, SubsetSettings, UncertainPolicy
from cxr_spark.config.results import EvaluateSettings, ExplainSettings, ScoreSettings
from cxr_spark.config.section import Metric, Section, is_section
from cxr_spark.config.settings import Settings, load_settings
from cxr_spark.config.tracking import MlflowSettings
from cxr_spark.config.train import AsymmetricSettings, EarlyStopSettings, Engine, ScheduleSettings, TrainSettings

__all__ = [
    "AsymmetricSettings",
    "EarlyStopSettings",
    "Engine",
    "EvaluateSettings",
    "ExplainSettings",
    "ExploreSettings",
    "Metric",
    "MlflowSettings",
    "ModelSettings",
    "PipelineSettings",
    "PrepareSettings",
    "ScheduleSettings",
    "ScoreSettings",
    "Section",
    "Settings",
    "SubsetSettings",
    "TrainSettings",
    "UncertainPolicy",
    "is_section",
    "load_settings",
]
