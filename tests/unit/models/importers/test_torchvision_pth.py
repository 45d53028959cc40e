"""Files that torch saved."""

from __future__ import annotations

import io

import pytest
import torch

from cxr_spark.errors import UsageError
from cxr_spark.models.importers.torchvision_pth import read_pth


def saved(tensors: dict[str, torch.Tensor]) -> bytes:
    file = io.BytesIO()
    torch.save(tensors, file)
    return file.getvalue()


def test_a_torch_with_a_known_hole_reads_no_pth(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "__version__", "2.9.1+cpu")
    with pytest.raises(UsageError, match=r"install torch 2\.10 or newer"):
        read_pth(saved({"a": torch.ones(1)}), "w.pth")
