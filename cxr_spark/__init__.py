"""Training and running chest X-ray classifiers on Spark.

The names below are loaded when they are first asked for, so that `import cxr_spark` needs neither Spark nor torch; they
are described in docs/python_api.md.
"""

from __future__ import annotations

import importlib
import sys
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cxr_spark.python_api.data_jobs import explore as explore
    from cxr_spark.python_api.data_jobs import prepare as prepare
    from cxr_spark.python_api.evaluation_job import evaluate as evaluate
    from cxr_spark.python_api.loading import load_model as load_model
    from cxr_spark.python_api.model_jobs import explain as explain
    from cxr_spark.python_api.model_jobs import score as score
    from cxr_spark.python_api.pipeline_job import pipeline as pipeline
    from cxr_spark.python_api.train_job import train as train
    from cxr_spark.spark_ml.classifier import ChestXRayClassifier as ChestXRayClassifier
    from cxr_spark.spark_ml.evaluator import ChestXRayEvaluator as ChestXRayEvaluator
    from cxr_spark.spark_ml.evaluator import patient_folds as patient_folds
    from cxr_spark.spark_ml.model import ChestXRayModel as ChestXRayModel
    from cxr_spark.spark_ml.stages import CenterCrop as CenterCrop
    from cxr_spark.spark_ml.stages import ImageNetBGR as ImageNetBGR
    from cxr_spark.spark_ml.stages import RandomAffine as RandomAffine
    from cxr_spark.spark_ml.stages import RandomBrightness as RandomBrightness
    from cxr_spark.spark_ml.stages import RandomCrop as RandomCrop
    from cxr_spark.spark_ml.stages import RandomErasing as RandomErasing
    from cxr_spark.spark_ml.stages import RandomHorizontalFlip as RandomHorizontalFlip
    from cxr_spark.spark_ml.stages import RandomVerticalFlip as RandomVerticalFlip
    from cxr_spark.spark_ml.stages import Resize as Resize
    from cxr_spark.spark_ml.stages import TrivialAugment as TrivialAugment

__version__ = "0.1.0"

_STAGES = (
    "CenterCrop",
    "ImageNetBGR",
    "RandomAffine",
    "RandomBrightness",
    "RandomCrop",
    "RandomErasing",
    "RandomHorizontalFlip",
    "RandomVerticalFlip",
    "Resize",
    "TrivialAugment",
)
#: Each public name and the module, below this package, that has it.
_MODULES = MappingProxyType(
    {
        **dict.fromkeys(("prepare", "explore"), "python_api.data_jobs"),
        **dict.fromkeys(("score", "explain"), "python_api.model_jobs"),
        "train": "python_api.train_job",
        "evaluate": "python_api.evaluation_job",
        "pipeline": "python_api.pipeline_job",
        **dict.fromkeys(_STAGES, "spark_ml.stages"),
        "ChestXRayClassifier": "spark_ml.classifier",
        "ChestXRayEvaluator": "spark_ml.evaluator",
        "ChestXRayModel": "spark_ml.model",
        "patient_folds": "spark_ml.evaluator",
        "load_model": "python_api.loading",
    }
)
__all__ = ["__version__", *_MODULES]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        value = getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "torchvision"):
            raise
        message = f"{__name__}.{name} needs {error.name}, not installed in this environment"
        raise ModuleNotFoundError(f"{message}: pip install 'cxr-spark[torch]'", name=error.name) from None
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


# By name, since only saved Spark ML pipelines need it; see there.
sys.meta_path.append(importlib.import_module("cxr_spark.spark_ml.former_names").FormerNames())
