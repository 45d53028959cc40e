"""A trained network and its preprocessing as plain torch, without Spark."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cxr_spark.augmentation.kernels import imagenet_bgr
from cxr_spark.imaging.decode import decode_grey
from cxr_spark.imaging.resize import resize
from cxr_spark.models import folder
from cxr_spark.models.metadata import ModelMetadata
from cxr_spark.scoring.inputs import network_input
from cxr_spark.scoring.predict import activate
from cxr_spark.storage.store import Store, resolve


@dataclass(frozen=True)
class Network:
    """A trained network.

    Attributes:
        module: the network in evaluation mode, on the CPU. It takes ImageNet-mean BGR, float32 (n, 3, s, s), and gives
            logits (n, findings).
        metadata: all that is known about the model.
    """

    module: nn.Module
    metadata: ModelMetadata

    @property
    def findings(self) -> tuple[str, ...]:
        """The findings that the outputs belong to, in order."""
        return self.metadata.findings

    def preprocess(self, files: Iterable[bytes]) -> torch.Tensor:
        """Turns image files into the network's input, as the score job does with raw images.

        Args:
            files: contents of PNG, JPEG or DICOM files.

        Returns:
            ImageNet-mean BGR, float32 (n, 3, s, s).

        Raises:
            ImageRejected: a file is no usable image; the message tells why.
        """
        known = self.metadata.preprocessing
        return self.from_grey(np.stack([resize(decode_grey(data), known.stored_size, known.resize) for data in files]))

    def from_grey(self, images: NDArray[np.uint8]) -> torch.Tensor:
        """Turns grey square images, such as the `pixels` of prepared data, into the network's input.

        Args:
            images: uint8 (n, side, side).

        Returns:
            ImageNet-mean BGR, float32 (n, 3, s, s).
        """
        return imagenet_bgr(torch.from_numpy(network_input(images, self.metadata.preprocessing)))

    def probabilities(self, inputs: torch.Tensor) -> NDArray[np.float32]:
        """Returns the probability of each finding, float32 (n, findings).

        Args:
            inputs: what `preprocess` or `from_grey` returned.
        """
        with torch.inference_mode():
            found: NDArray[np.float32] = activate(self.module(inputs), self.metadata.task).numpy()
        return found


def load_model(path: str) -> Network:
    """Loads a model folder without Spark.

    Args:
        path: folder, such as RUN/model of the train job: a path on the local disk, or a URI.

    Raises:
        DataError: the folder holds no model, or a damaged one.
    """
    loaded = folder.load_model(Store(resolve(path)))
    return Network(loaded.module.eval(), loaded.metadata)
