"""What a preparation warns of, in words: each with a number, and with what to do about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from cxr_spark.preparation.near_duplicates import NearDuplicates
from cxr_spark.preparation.plan import Counts
from cxr_spark.tables.schema import TEST, TRAIN
from cxr_spark.tables.text import counted


def of_counts(counts: Counts) -> Iterator[str]:
    """Says how many images and labels did not meet."""
    if counts.images_without_label:
        yield (
            f"{counts.images_without_label} of {counts.images_found} images have no label and are left out: if they "
            "should have one, compare their names with those in the label file"
        )
    if counts.labels_without_image:
        yield (
            f"{counts.labels_without_image} of {counts.labels_found} labels have no image: if the images are there, "
            "check --images, and compare their names with those in the label file"
        )


def of_facts(notes: Mapping[str, int]) -> Iterator[str]:
    """Says of how many images a sex, view position or age was not understood, so that it counts as not known.

    Args:
        notes: what was dropped or changed in the labels, by kind.
    """
    for note, fact, expected in (
        ("sexes_unknown", "the sex", "M or F"),
        ("view_positions_unknown", "the view position", "PA, AP or LATERAL"),
        ("ages_unknown", "the age", "a number of years"),
        ("ages_over_120", "the age", "no more than 120 years"),
    ):
        if notes.get(note):
            yield (
                f"{fact} of {notes[note]} images counts as not known: expected {expected} in the labels or in the "
                "headers of DICOM images; subgroups and prepare.subset leave these images out"
            )


def of_quarantine(reasons: Mapping[str, int]) -> Iterator[str]:
    """Says how many images were set aside.

    Args:
        reasons: number of images by reason.
    """
    if reasons:
        yield (
            f"{sum(reasons.values())} images were set aside ({counted(reasons)}): `cxr-spark quarantine` with --out "
            "names each of them and says what is wrong with it"
        )


def of_dim_images(by_bits: Mapping[str, int]) -> Iterator[str]:
    """Says that images of 16 bits hold fewer, so that they come out nearly black, and which setting brightens them.

    Args:
        by_bits: number of PNG files by the bits that their highest value needs.
    """
    if by_bits:
        bits = max(map(int, by_bits))
        white = 2**bits - 1
        yield (
            f"{sum(by_bits.values())} PNG files of 16 bits hold values of no more than {bits} bits and come out dark: "
            f"if white is {white} in all of them, prepare again with --set prepare.white_level={white}"
        )


def of_dicom(doubtful: Mapping[str, int]) -> Iterator[str]:
    """Says that DICOM images were taken that may be no frontal chest radiographs.

    Args:
        doubtful: number of images by reason.
    """
    if doubtful:
        yield (
            f"DICOM images were taken that may be no frontal chest radiographs by their headers ({counted(doubtful)}): "
            "prepare.dicom.modality, prepare.dicom.body_part and prepare.dicom.view say what becomes of them"
        )


def of_near_duplicates(alike: NearDuplicates) -> Iterator[str]:
    """Says that images of different splits are nearly the same, with an example and what to do."""
    if alike.images:
        pair = alike.pairs.slice(0, 1).to_pylist()[0]
        yield (
            f"{alike.images} images are nearly the same as one in another split ({alike.pairs.num_rows} pairs), such "
            f"as {pair['image_index']!r} ({pair['split']}) and {pair['other_image_index']!r} ({pair['other_split']}): "
            "the table near_duplicates below --out names them; leave copies out, or give them one patient"
        )


def of_splits(splits: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Says that there are no images for training or for testing.

    Args:
        splits: the counts of each split, as the manifest has them.
    """
    for name in (TRAIN, TEST):
        if not splits[name]["images"]:
            yield f"split {name} is empty: check --split, the lists, and which images are below --images"
