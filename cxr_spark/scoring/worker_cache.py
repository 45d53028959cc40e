"""The models that a worker process keeps ready between its tasks."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from cxr_spark.scoring.ready import ReadyModel

if TYPE_CHECKING:
    from cxr_spark.scoring.shipped import ShippedModel


@lru_cache(maxsize=1)  # the models of one job in a worker's memory
def ready_models(models: tuple[ShippedModel, ...], threads: int) -> tuple[ReadyModel, ...]:
    """Returns models ready to run in this process, as `ShippedModel.on_worker` does, and keeps all of them."""
    return tuple(_ready(model, threads) for model in models)


def _ready(model: ShippedModel, threads: int) -> ReadyModel:
    # Each engine is imported where it is used: an executor need not have the other one's library.
    if model.engine.name == "openvino":
        from cxr_spark.scoring import openvino_engine

        return openvino_engine.load(model, threads)
    from cxr_spark.scoring import torch_engine

    return torch_engine.load(model, threads)
