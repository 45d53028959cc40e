"""torchvision's own weights, out of its cache: a file that somebody else put there runs nothing."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest
import torch
from torchvision import models

from cxr_spark.errors import DataError
from cxr_spark.models.importers.torchvision_hub import download

NAME = "IMAGENET1K_V1"


@pytest.fixture
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where torchvision looks for its ResNet-50 before it asks the internet."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    file = tmp_path / "hub" / "checkpoints" / models.ResNet50_Weights[NAME].url.rpartition("/")[2]
    file.parent.mkdir(parents=True)
    return file


def test_a_file_in_the_cache_is_read(cached: Path) -> None:
    network = models.resnet50(weights=None)
    torch.save(network.state_dict(), cached)
    tensors = download(NAME, "resnet50").tensors
    torch.testing.assert_close(tensors["layer1.0.conv1.weight"], network.layer1[0].conv1.weight.detach())


class _Payload:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("legacy", [True, False])
def test_a_pickle_in_the_cache_runs_nothing(cached: Path, tmp_path: Path, legacy: bool) -> None:
    payload = _Payload(tmp_path / "was_run")
    if legacy:
        cached.write_bytes(pickle.dumps({"conv1.weight": payload}, protocol=2))
    else:
        torch.save({"conv1.weight": payload}, cached)
    with pytest.raises(DataError, match=r"ResNet50_Weights\.IMAGENET1K_V1: .*delete it from"):
        download(NAME, "resnet50")
    assert not (tmp_path / "was_run").exists()
