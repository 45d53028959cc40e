"""The counts of made-up explorations, with texts of any kind, and their page."""

from __future__ import annotations

import numpy as np

from cxr_spark.exploration.pictures import Pictures
from cxr_spark.exploration.report import render
from cxr_spark.reporting.thumbnails import thumbnail

PICTURE = thumbnail(np.full((200, 200), 90, np.uint8), 128)


def facts_of(findings, names, reasons=("corrupt", "duplicate_name")):
    """The content of explore.json for one split of images with all findings, and for images that were set aside.

    Args:
        findings: the names of the findings.
        names: the names of the images that are shown, and of those that were set aside.
        reasons: why these were set aside.
    """
    shape = {"smallest": [100, 100], "largest": [200, 100], "mean": [150.0, 100.0]}
    split = {
        "images": 40,
        "patients": 20,
        "images_without_patient": 0,
        "findings": {key: {"positive": 20, "negative": 20, "unknown": 0, "prevalence": 0.5} for key in findings},
        "images_per_patient": {"mean": 2.0, "max": 2, "histogram": {"2": 20}},
        "sex": {"F": 40},
        "view_position": {names[0]: 20, "PA": 20},
        "ages": {"known": 40, "unknown": 0, "min": 50, "max": 50, "mean": 50, "std": 0, "histogram": {"50": 40}},
        "intensity": {"mean": 90.0, "std": 5.0, "histogram": [0] * 256},
    }
    aside = [{"image_index": name, "uri": f"file:///raw/{name}", "detail": name * 40} for name in names]
    return {
        "data": f"file:///{names[0]}",
        "synthetic": False,
        "findings": list(findings),
        "size": 64,
        "n_images": 40,
        "n_patients": 20,
        "near_duplicates": None,
        "information": {
            "evenness": 1.0,
            "entropy_bits": 1.0,
            "findings": {key: {"share": 0.5, "relative_information": 0.5} for key in findings},
        },
        "splits": {"test": split},
        "shifts": [],
        "findings_by_view": {key: {"images": 20, "findings": dict.fromkeys(findings, 10)} for key in (names[0], "PA")},
        "examples": {key: [{"image_index": name, "split": "test"} for name in names] for key in findings},
        "set_aside": {
            "images": len(reasons) * len(names),
            "in_manifest": 1 + len(reasons) * len(names),
            "reasons": {reason: {"images": len(names), "examples": aside} for reason in reasons},
        },
        "duplicates": {
            "groups": 1,
            "images": 2,
            "across_splits": 0,
            "examples": [[{"image_index": names[0], "split": "test"}]],
        },
        "co_occurrence": {"findings": list(findings), "images": [[20] * len(findings)] * len(findings)},
        "image_shapes": {"all": shape, "by_split": {"test": shape}, "by_finding": dict.fromkeys(findings, shape)},
        "versions": {"cxr_spark": names[0]},
    }


def page_of(facts, shown=True):
    """The page, with a picture of every second image where pictures are shown."""
    names = [image["image_index"] for image in next(iter(facts["examples"].values()))][::2]
    pictures = Pictures(dict.fromkeys(names, PICTURE), {f"file:///raw/{name}": PICTURE for name in names}, 3)
    svg = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 1"><path d="M0,0H9"/></svg>'
    plots = dict.fromkeys(("class_balance", "patients", "grey_values"), svg)
    return render(facts, plots, {}, "2020-01-01", pictures if shown else None)
