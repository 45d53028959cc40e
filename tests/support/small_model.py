"""A small model folder, for tests of what uses one."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch

from cxr_spark.models.architectures import batch_norms, build
from cxr_spark.models.folder import save_model
from cxr_spark.models.head import head_name
from cxr_spark.models.metadata import ModelMetadata, Preprocessing
from cxr_spark.storage.store import Store


def write_model(
    folder: Path,
    *,
    findings: tuple[str, ...] = ("Effusion", "Mass", "No Finding"),
    architecture: str = "efficientnet_b0",
    seed: int = 3,
    task: Literal["multi_label", "single_label"] = "multi_label",
    **preprocessing: Any,
) -> ModelMetadata:
    """Writes a network with random weights whose outputs depend on the image; by default for images of 32 pixels."""
    network = build(architecture, len(findings), seed=seed)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        for norm in batch_norms(network):
            norm.momentum = None  # the statistics become those of the batches that follow
        for _ in range(2):
            network.train()(torch.randn(8, 3, 64, 64) * 60)
        network.get_submodule(head_name(network)).output.weight.mul_(10)
    return save_model(
        Store(str(folder)),
        network,
        ModelMetadata(
            architecture=architecture,
            findings=findings,
            task=task,
            preprocessing=Preprocessing(**{"input_size": 32, "stored_size": 32, **preprocessing}),
        ),
    )
