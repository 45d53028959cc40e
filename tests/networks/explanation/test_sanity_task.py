"""The task of the sanity check: which finding's maps it compares."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest

from cxr_spark.explanation.images import ImageSource, ViewedImage
from cxr_spark.explanation.plan import ChosenPart
from cxr_spark.explanation.sanity import CheckedMaps
from cxr_spark.explanation.sanity_task import SanityCheck
from cxr_spark.scoring.shipped import ShippedModel
from tests.support.small_model import write_model

NAMES = ("a.png", "b.png", "c.png")


@dataclass(frozen=True)
class Drawn(ImageSource):
    """Images of noise."""

    def images(self, *_):
        draw = np.random.default_rng(7)
        for name in NAMES:
            pixels = draw.integers(0, 255, (64, 64), dtype=np.uint8)
            yield ViewedImage(name, pixels, pixels, 64, 64, None)


def test_the_first_listed_finding_of_an_image_is_compared(tmp_path) -> None:
    metadata = write_model(tmp_path / "model", input_size=64, stored_size=64)
    model = ShippedModel(f"file://{tmp_path}/model", metadata)

    def checked(finding: str, **listed: tuple[str, ...]) -> CheckedMaps:
        by_name = {f"{name}.png": findings for name, findings in listed.items()}
        check = SanityCheck(model, Drawn(None), finding, "gradcam", 1, 2, 3, by_name)
        (found,) = check([[ChosenPart(SimpleNamespace(number=0))]])
        return found

    top = checked("top")
    named = {name: checked(name) for name in metadata.findings}
    other = next(name for name in ("Effusion", "Mass") if name != top.findings[1])
    found = checked("top", b=(other, top.findings[1]), c=())
    assert found.findings == (top.findings[0], other, top.findings[2])
    for of_block, expected in zip(found.correlations, named[other].correlations, strict=True):
        assert of_block[1] == pytest.approx(expected[1])
    assert any(one[1] != before[1] for one, before in zip(found.correlations, top.correlations, strict=True))
