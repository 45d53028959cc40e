"""Published figures of NIH ChestX-ray14, and whether an evaluation may be compared with them. No Spark."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field

from cxr_spark.datasets.findings import NIH_FINDINGS, NO_FINDING
from cxr_spark.evaluation.counting.auc import mean_of_defined

#: The number of images of NIH's test_list.txt.
OFFICIAL_TEST_IMAGES = 25_596
OFFICIAL = "official"
_FILE = "published.yaml"
_COMPARED = tuple(name for name in NIH_FINDINGS if name != NO_FINDING)


class Published(BaseModel):
    """One published figure.

    Attributes:
        source: who published it, and where.
        model: the kind of the model that the figures belong to.
        split: `official` for NIH's own test list, `random` for any other.
        input_side: side of the network's input in pixels; None where it is not known.
        mean_auc: mean AUC of the 14 findings.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    source: str
    model: str
    split: Literal["official", "random"]
    input_side: int | None = Field(None, ge=1)
    mean_auc: float = Field(ge=0, le=1)


def published() -> list[Published]:
    """Reads the figures of the package."""
    text = resources.files(__package__).joinpath(_FILE).read_text(encoding="utf-8")
    return [Published.model_validate(entry) for entry in yaml.safe_load(text)]


def beside_published(
    numbers: Mapping[str, Any], prepared: Mapping[str, Any], input_side: int | None = None
) -> dict[str, Any] | None:
    """Puts published figures beside an evaluation, where both are of the same test images.

    Args:
        numbers: `findings` and `n_images` of metrics.json.
        prepared: `dataset` and `split` of the manifest of the prepared data, as far as they are known.
        input_side: side of the network's input; None where it is not known.

    Returns:
        The part `published` of metrics.json: `mean_auc` of the 14 findings, `input_side`, `comparable`, `why_not`
        (in words; None where they are comparable) and `figures`. None where not all of the 14 findings are evaluated.
    """
    findings = numbers["findings"]
    if not set(_COMPARED) <= set(findings):
        return None
    aucs = [findings[name]["auc"] for name in _COMPARED]
    why_not = _why_not(numbers["n_images"], None in aucs, prepared)
    return {
        "mean_auc": mean_of_defined(aucs),
        "input_side": input_side,
        "comparable": why_not is None,
        "why_not": why_not,
        "figures": [figure.model_dump() for figure in published()],
    }


def _why_not(n_images: int, undefined: bool, prepared: Mapping[str, Any]) -> str | None:
    if n_images != OFFICIAL_TEST_IMAGES:
        return f"NIH's official test list has {OFFICIAL_TEST_IMAGES:,} images, and {n_images:,} are evaluated here"
    if prepared.get("dataset", "nih") != "nih":
        return f"the images are prepared as data set {prepared['dataset']}, not nih"
    if prepared.get("split", OFFICIAL) != OFFICIAL:
        return f"the images are split by {prepared['split']}, not by NIH's official lists"
    if undefined:
        return "a finding has images of one class only"
    return None
