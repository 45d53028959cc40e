"""Draws the patients of a synthetic set at random: their pictures, the findings of these, and their splits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from cxr_spark.config import PrepareSettings
from cxr_spark.datasets.base import LabelTable, label_table
from cxr_spark.datasets.findings import NIH_FINDINGS, NO_FINDING
from cxr_spark.datasets.splits import assign_splits

#: The first patient number. NIH's patients have the numbers 1 to 30805, so no number is mistaken for one of theirs.
FIRST_PATIENT = 90_000_001
PICTURES_PER_FOLDER = 100
MAX_FOLDERS = 12  # as many as NIH's

_TEST_FRACTION = 0.2
_HEALTHY_FRACTION = 0.3
#: The probabilities that a patient has 1 to 6 pictures. They fall, as in NIH's set.
_PICTURES = (0.42, 0.22, 0.14, 0.10, 0.07, 0.05)
#: The probabilities that a picture with a finding has 0, 1 or 2 more findings.
_COMPANIONS = (0.45, 0.40, 0.15)
#: The most findings of one picture; more could not be told apart.
_MOST_FINDINGS = 4

#: The share of each finding among the pictures with findings. The order is that of NIH's frequencies, but the shares
#: are much more alike, so that a set of a few hundred pictures has enough of each to learn from.
_SHARES: Mapping[str, float] = MappingProxyType(
    {
        "Infiltration": 10, "Effusion": 9, "Atelectasis": 9, "Nodule": 8, "Mass": 8, "Pneumothorax": 7,
        "Consolidation": 7, "Pleural_Thickening": 7, "Cardiomegaly": 7, "Emphysema": 6, "Edema": 6, "Fibrosis": 6,
        "Pneumonia": 6, "Hernia": 5,
    }
)  # fmt: skip

#: The findings that occur most often together with a finding in NIH's label file (Wang et al., CVPR 2017, figure 2).
_OFTEN_WITH: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "Atelectasis": ("Effusion", "Infiltration"),
        "Cardiomegaly": ("Effusion", "Edema"),
        "Consolidation": ("Effusion", "Infiltration"),
        "Edema": ("Effusion", "Cardiomegaly"),
        "Effusion": ("Atelectasis", "Infiltration", "Consolidation"),
        "Emphysema": ("Pneumothorax", "Nodule"),
        "Fibrosis": ("Pleural_Thickening", "Infiltration"),
        "Hernia": ("Atelectasis", "Cardiomegaly"),
        "Infiltration": ("Effusion", "Atelectasis"),
        "Mass": ("Nodule", "Effusion"),
        "Nodule": ("Mass", "Infiltration"),
        "Pleural_Thickening": ("Effusion", "Fibrosis"),
        "Pneumonia": ("Infiltration", "Edema"),
        "Pneumothorax": ("Effusion", "Emphysema"),
    }
)


@dataclass(frozen=True)
class Picture:
    """The description of one picture.

    Attributes:
        patient: the patient's number.
        follow_up: the number of the picture among the patient's pictures, from 0.
        folder: the number N of the folder `images_00N`, from 1.
        test: whether the picture is in the list of test images.
        age: the patient's age in years.
        sex: the patient's sex, M or F.
        view: the view position, PA or AP.
        findings: the findings in NIH's order; empty for `No Finding`.
    """

    patient: int
    follow_up: int
    folder: int
    test: bool
    age: int
    sex: str
    view: str
    findings: tuple[str, ...]

    @property
    def name(self) -> str:
        """The file name, in NIH's format."""
        return f"{self.patient:08d}_{self.follow_up:03d}.png"

    @property
    def labels(self) -> tuple[str, ...]:
        """The findings, or `No Finding`."""
        return self.findings or (NO_FINDING,)


def draw_cohort(images: int, seed: int) -> list[Picture]:
    """Draws the pictures of a set, in order of patient and follow-up.

    The shares of the findings are kept within each split, also within the validation split that `prepare` makes by
    default: a label that is missing from a split has no AUC there.

    Args:
        images: the number of pictures, at least 3.
        seed: the seed of the draw.

    Returns:
        The pictures. All 15 labels are in each split from 300 pictures on.
    """
    rng = np.random.default_rng([seed])
    counts = _picture_counts(images, rng)
    testing = _test_patients(counts, images, rng)
    owners = [patient for patient, count in enumerate(counts) for _ in range(count)]
    findings: list[tuple[str, ...]] = [()] * images
    for rows in _groups(owners, testing):
        for row, drawn in zip(rows, _draw_findings(len(rows), rng), strict=True):
            findings[row] = drawn

    sexes = rng.choice(["M", "F"], size=len(counts), p=[0.56, 0.44])
    ages = np.clip(rng.normal(48, 16, size=len(counts)), 4, 90).astype(int)
    folders = min(MAX_FOLDERS, -(-images // PICTURES_PER_FOLDER))
    first_row = np.cumsum([0, *counts])
    pictures = []
    for row, patient in enumerate(owners):
        follow_up = row - int(first_row[patient])
        pictures.append(
            Picture(
                patient=FIRST_PATIENT + patient,
                follow_up=follow_up,
                folder=1 + row * folders // images,
                test=patient in testing,
                age=int(ages[patient]) + follow_up // 2,
                sex=str(sexes[patient]),
                view="AP" if rng.random() < (0.5 if findings[row] else 0.25) else "PA",
                findings=findings[row],
            )
        )
    return pictures


def _picture_counts(images: int, rng: np.random.Generator) -> list[int]:
    """Draws the number of each patient's pictures: at most a third of all, so that each split has a patient."""
    counts: list[int] = []
    left = images
    while left:
        drawn = 1 + int(rng.choice(len(_PICTURES), p=_PICTURES))
        counts.append(min(drawn, left, max(1, images // 3)))
        left -= counts[-1]
    return counts


def _test_patients(counts: Sequence[int], images: int, rng: np.random.Generator) -> frozenset[int]:
    chosen: set[int] = set()
    total = 0
    for patient in rng.permutation(len(counts)):
        if total >= _TEST_FRACTION * images:
            break
        chosen.add(int(patient))
        total += counts[patient]
    return frozenset(chosen)


def _groups(owners: Sequence[int], testing: frozenset[int]) -> list[list[int]]:
    """Returns the rows of each split, as `prepare` splits them by default."""
    names = [str(row) for row in range(len(owners))]
    patients = [str(FIRST_PATIENT + owner) for owner in owners]
    test = [row for row, owner in enumerate(owners) if owner in testing]
    train = [row for row, owner in enumerate(owners) if owner not in testing]
    defaults = PrepareSettings()
    split = assign_splits(
        LabelTable(label_table(names, patients, np.zeros((len(owners), 1), dtype=np.float32)), (NO_FINDING,)),
        "official",
        train_list="\n".join(map(str, train)).encode(),
        test_list="\n".join(map(str, test)).encode(),
        val_fraction=defaults.val_fraction,
        seed=defaults.seed,
    ).table["split"]
    groups: dict[str, list[int]] = {}
    for row, name in enumerate(split.to_pylist()):
        groups.setdefault(name, []).append(row)
    return list(groups.values())


def _draw_findings(count: int, rng: np.random.Generator) -> list[tuple[str, ...]]:
    """Draws the findings of `count` pictures with the given shares, each finding at least once where there is room."""
    ill = count - round(_HEALTHY_FRACTION * count)
    names = list(_SHARES)
    shares = np.array([_SHARES[name] for name in names]) / sum(_SHARES.values())
    # Stratified draws: the n-th picture takes the finding at (n + u) / ill of the cumulated shares.
    at = (np.arange(ill) + rng.random()) / max(ill, 1)
    primary = np.minimum(np.searchsorted(np.cumsum(shares), at, side="right"), len(names) - 1)
    drawn = [{names[i]} for i in rng.permutation(primary)]
    for findings in drawn:
        for _ in range(int(rng.choice(len(_COMPANIONS), p=_COMPANIONS))):
            likely = _OFTEN_WITH[min(findings)] if rng.random() < 0.6 else names
            findings.add(str(rng.choice(likely)))
    for missing in [name for name in names if not any(name in findings for findings in drawn)]:
        fewest = min(drawn, key=len, default=None)
        if fewest is not None and len(fewest) < _MOST_FINDINGS:
            fewest.add(missing)
    drawn += [set() for _ in range(count - ill)]
    order = rng.permutation(count)
    return [tuple(name for name in NIH_FINDINGS if name in drawn[i]) for i in order]
