"""Several models on an executor: each image is decoded once and goes through all of them. No Spark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cxr_spark.imaging.prepare import Form, prepare_forms
from cxr_spark.models.metadata import ModelMetadata
from cxr_spark.scoring.combining import Combination, Probabilities
from cxr_spark.scoring.engine import Engine
from cxr_spark.scoring.ready import ReadyModel
from cxr_spark.scoring.shipped import ShippedModel
from cxr_spark.scoring.worker_cache import ready_models

#: The text between the ids of several models. No id contains it.
AND = "+"


def joint_id(models: Sequence[ModelMetadata]) -> str:
    """Returns the `model_id` of predictions that several models made: the SHA-256 of the weights of each, joined."""
    return AND.join(model.model_id for model in models)


@dataclass(frozen=True)
class ShippedEnsemble:
    """Checked models that executors can load.

    Attributes:
        models: the models; one at least.
        flip: whether each model also sees the mirror image, as a second view.
        combination: how the probabilities of all models and views become one.
    """

    models: tuple[ShippedModel, ...]
    flip: bool = False
    combination: Combination = field(default=Combination(), compare=False)

    def on_worker(self, threads: int) -> ReadyEnsemble:
        """Returns the models, ready to run in this process with so many CPU threads.

        Raises:
            RunError: a folder no longer holds the model that the driver checked, or cannot be read.
        """
        return ReadyEnsemble(ready_models(self.models, threads), self.flip, self.combination)


@dataclass(frozen=True)
class ReadyEnsemble:
    """Models on their device.

    Attributes:
        models: the models; the first one decides the order of the findings.
        flip: whether each model also sees the mirror image, as a second view.
        combination: how the probabilities of all models and views become one.
    """

    models: tuple[ReadyModel, ...]
    flip: bool = False
    combination: Combination = field(default=Combination(), compare=False)

    @property
    def findings(self) -> tuple[str, ...]:
        """The names of the findings, in the order of the probabilities."""
        return self.models[0].metadata.findings

    @property
    def task(self) -> str:
        """`multi_label` or `single_label`."""
        return self.models[0].metadata.task

    @property
    def model_id(self) -> str:
        """The `model_id` of predictions that these models make."""
        return joint_id([model.metadata for model in self.models])

    @property
    def engine(self) -> Engine:
        """What computes the probabilities, the same for all models."""
        return self.models[0].engine

    def inputs(self, data: bytes | memoryview) -> list[NDArray[np.uint8]]:
        """Decodes an image file once, and resizes it for each model.

        Returns:
            The image for each model, uint8 (S, S); S may differ between models.

        Raises:
            ImageRejected: the file cannot be used.
        """
        wanted = [model.metadata.preprocessing for model in self.models]
        return prepare_forms(data, [Form(each.stored_size, each.resize, each.white_level) for each in wanted])

    def predict(self, pixels: Sequence[NDArray[np.uint8]], batch: int) -> Probabilities:
        """Computes the combined probabilities.

        Args:
            pixels: for each model the same images as it takes them, uint8 (N, S, S); S may differ.
            batch: images a forward pass.

        Returns:
            float32 (N, K).
        """
        return self.combination(self.members(pixels, batch))

    def members(self, pixels: Sequence[NDArray[np.uint8]], batch: int) -> list[Probabilities]:
        """Computes the probabilities of each model and view by itself: model by model, and view by view within."""
        found = []
        for model, images in zip(self.models, pixels, strict=True):
            places = [model.metadata.findings.index(name) for name in self.findings]
            for view in (images, np.ascontiguousarray(images[:, :, ::-1])) if self.flip else (images,):
                found.append(model.predict(view, batch)[:, places])
        return found
