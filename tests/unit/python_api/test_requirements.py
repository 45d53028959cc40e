"""Functions that run networks say what is missing where torch is not installed."""

from __future__ import annotations

import subprocess
import sys

import pytest

import cxr_spark
from cxr_spark.errors import UsageError


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("train", {"data": "/none", "out": "/none/out"}),
        ("score", {"data": "/none", "model": "/none/model", "out": "/none/out"}),
        ("explain", {"data": "/none", "model": "/none/model", "out": "/none/out"}),
        ("pipeline", {"config": "/none.yaml"}),
    ],
)
def test_a_missing_torch_is_told_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch, name: str, arguments: dict[str, str]
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(UsageError, match=rf"`cxr_spark\.{name}` needs torch, .*pip install 'cxr-spark\[torch\]'"):
        getattr(cxr_spark, name)(**arguments)


@pytest.mark.parametrize("name", ["Resize", "ChestXRayClassifier", "load_model"])
def test_a_name_that_needs_torch_says_what_to_install(name: str) -> None:
    blocked = f"import sys; sys.modules.update(torch=None, torchvision=None); from cxr_spark import {name}"
    done = subprocess.run([sys.executable, "-c", blocked], capture_output=True, text=True, check=False)
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"ModuleNotFoundError: cxr_spark.{name} needs torch")
    assert last.endswith("pip install 'cxr-spark[torch]'")
