"""Probabilities of a model folder by torch alone, without anything of the score job."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from cxr_spark.models.folder import load_model
from cxr_spark.storage.store import Store


def bgr_of(pixels: np.ndarray) -> np.ndarray:
    """The networks' input, by hand."""
    return np.stack([pixels - mean for mean in (103.939, 116.779, 123.68)], axis=1).astype(np.float32)


@torch.inference_mode()
def by_torch(folder: Path, pixels: np.ndarray) -> np.ndarray:
    """The probabilities of grey images (N, S, S) by the network as it was trained."""
    loaded = load_model(Store(str(folder)))
    logits = loaded.module(torch.from_numpy(bgr_of(pixels)))
    single = loaded.metadata.task == "single_label"
    return (logits.softmax(1) if single else logits.sigmoid()).numpy()
