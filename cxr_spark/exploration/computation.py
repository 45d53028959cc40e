"""Computes an exploration of a prepared dataset: all counts, and the plots and the page made from them."""

from __future__ import annotations

import io
import platform
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cxr_spark import __version__
from cxr_spark.exploration import plots
from cxr_spark.exploration.duplicates import find_duplicates
from cxr_spark.exploration.facts import count_facts
from cxr_spark.exploration.information import relative_information
from cxr_spark.exploration.pictures import Pictures
from cxr_spark.exploration.pixels import sum_pixels
from cxr_spark.exploration.report import render
from cxr_spark.exploration.set_aside import set_aside_by_reason
from cxr_spark.exploration.shifts import shifts_of
from cxr_spark.reporting.provenance import beside_notice
from cxr_spark.storage.store import Store
from cxr_spark.tables.prepared import PreparedDataset

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@dataclass(frozen=True)
class Exploration:
    """The counts and mean images of a prepared dataset.

    Attributes:
        facts: the content of explore.json.
        mean_images: the mean image of each split, float64 (s, s), 0 to 255.
    """

    facts: dict[str, Any]
    mean_images: dict[str, NDArray[np.float64]]


def explore(spark: SparkSession, dataset: PreparedDataset) -> Exploration:
    """Counts what a prepared dataset holds.

    Raises:
        DataError: the dataset has no images, or is damaged.
        RunError: a file cannot be read.
    """
    counted = count_facts(spark, dataset)
    sums = sum_pixels(spark, dataset)
    splits = counted.pop("splits")
    for split, facts in splits.items():
        facts["intensity"] = sums[split].facts()
    positives = {
        name: sum(facts["findings"][name]["positive"] for facts in splits.values()) for name in counted["findings"]
    }
    sources = dataset.manifest.get("sources")
    labels = sources.get("labels") if isinstance(sources, dict) else None
    facts = {
        "data": dataset.store.uri,
        "synthetic": beside_notice([labels] if isinstance(labels, str) else labels or []),
        "findings": counted["findings"],
        "size": dataset.size,
        "n_images": counted["n_images"],
        "n_patients": counted["n_patients"],
        "near_duplicates": dataset.manifest.get("near_duplicates"),
        "positives": positives,
        "information": relative_information(positives),
        "splits": splits,
        "shifts": shifts_of(splits),
        "findings_by_view": counted["findings_by_view"],
        "duplicates": find_duplicates(spark, dataset),
        "examples": counted["examples"],
        "set_aside": set_aside_by_reason(dataset),
        "co_occurrence": counted["co_occurrence"],
        "image_shapes": counted["image_shapes"],
        "versions": {"cxr_spark": __version__, "python": platform.python_version(), "pyspark": spark.version},
    }
    return Exploration(facts, {split: sums[split].mean_image() for split in splits})


def write(store: Store, exploration: Exploration, shown: Pictures | None = None) -> None:
    """Writes the plots and the page, and last explore.json, which shows that the others are complete.

    Args:
        store: the output folder.
        exploration: the counts.
        shown: the pictures of single images; None for a page without.
    """
    facts = exploration.facts
    pictures = {name: io.BytesIO() for name in ("class_balance", "co_occurrence", "patients", "intensity")}
    vectors = {name: io.BytesIO() for name in ("class_balance", "patients", "grey_values")}
    plots.class_balance(facts["findings"], facts["splits"], pictures["class_balance"], vectors["class_balance"])
    plots.co_occurrence(facts["co_occurrence"], pictures["co_occurrence"])
    plots.patients(facts["splits"], pictures["patients"], vectors["patients"])
    plots.intensity(facts["splits"], exploration.mean_images, pictures["intensity"])
    plots.grey_values(facts["splits"], io.BytesIO(), vectors["grey_values"])
    pngs = {name: picture.getvalue() for name, picture in pictures.items()}
    svgs = {name: vector.getvalue() for name, vector in vectors.items()}
    means = {name: plots.png_of(mean) for name, mean in exploration.mean_images.items()}
    page = render(facts, svgs, means, time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()), shown)
    for name, png in pngs.items():
        store.write_bytes(f"{name}.png", png)
    store.write_bytes("explore.html", page.encode())
    store.write_json("explore.json", facts)
