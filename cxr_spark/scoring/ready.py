"""A model that is ready to run on an executor, whatever library runs it, and the check that it is the right one."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cxr_spark.errors import RunError
from cxr_spark.models.metadata import ModelMetadata
from cxr_spark.scoring.engine import Engine


class ReadyModel(Protocol):
    """A model on its device."""

    @property
    def metadata(self) -> ModelMetadata:
        """The metadata of the model."""

    @property
    def engine(self) -> Engine:
        """What computes the probabilities."""

    def predict(self, pixels: NDArray[np.uint8], batch: int) -> NDArray[np.float32]:
        """Computes probabilities.

        Args:
            pixels: uint8 (N, S, S) grey images of any one side S.
            batch: the number of images in a forward pass.

        Returns:
            float32 (N, K) between 0 and 1, in the order of `metadata.findings`.

        Raises:
            DataError: `pixels` has another shape or dtype.
            RunError: a probability is not a number.
        """


def changed_message(uri: str) -> str:
    """Returns what a message says of a model folder that is not as the driver found it."""
    return f"the model folder {uri} was changed while the job ran"


def check_same(found: ModelMetadata, expected: ModelMetadata, uri: str) -> None:
    """Checks that a model folder still holds the model that the job began with.

    Raises:
        RunError: its weights or its metadata are other ones.
    """
    if found.model_id != expected.model_id:
        raise RunError(
            f"{changed_message(uri)}: its weights are {found.model_id[:12]}, the job began with "
            f"{expected.model_id[:12]}; run the job again"
        )
    if found != expected:
        raise RunError(f"{changed_message(uri)}: its metadata.json is another one; run the job again")
