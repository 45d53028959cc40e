"""Functions that run networks say what is missing where torch is not installed."""

from __future__ import annotations

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
