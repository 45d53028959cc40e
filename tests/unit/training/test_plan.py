"""What is said of prepared data before a training starts."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from cxr_spark.training.plan import _check_images


def dataset(findings):
    manifest = {"splits": {"train": {"images": 4, "findings": findings}, "val": {"images": 1}}}
    return SimpleNamespace(
        images=lambda split: manifest["splits"][split]["images"], files=lambda split: [], manifest=manifest
    )


def test_findings_without_training_images_are_named(caplog: pytest.LogCaptureFixture) -> None:
    _check_images(dataset({"A": 4, "B": 0, "C": 0}), 1)
    assert "2 findings have no training image" in caplog.text
    assert "B, C" in caplog.text
    caplog.clear()
    _check_images(dataset({"A": 4, "B": 1}), 1)
    assert caplog.text == ""
