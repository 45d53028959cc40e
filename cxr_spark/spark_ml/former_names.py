"""Finds classes under the module names that they had before: saved Spark ML pipelines name their classes by module."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import MappingProxyType, ModuleType

_STAGE_MODULES = ("affine", "base", "brightness", "crop", "flip", "normalize", "resize")
#: Former module names that metadata of version 0.1 hold, and today's.
FORMER_NAMES = MappingProxyType(
    {
        "cxr_spark.stages": "cxr_spark.spark_ml.stages",
        **{f"cxr_spark.stages.{name}": f"cxr_spark.spark_ml.stages.{name}" for name in _STAGE_MODULES},
        "cxr_spark.scoring.spark_model": "cxr_spark.spark_ml.model",
        "cxr_spark.training.estimator": "cxr_spark.spark_ml.classifier",
    }
)


class FormerNames(MetaPathFinder, Loader):
    """Imports today's module when a former name is asked for. It is asked last, after all other finders."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Returns a spec for a former name, and None for all others."""
        return ModuleSpec(fullname, self) if fullname in FORMER_NAMES else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Returns a module with the same contents as today's."""
        module = ModuleType(spec.name)
        module.__dict__.update(
            {k: v for k, v in vars(importlib.import_module(FORMER_NAMES[spec.name])).items() if k[:2] != "__"}
        )
        module.__path__ = []  # so that modules below a former package are looked for
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Does nothing: the module is complete."""
