"""The findings of public datasets, and their multi-hot encoding. Their order is the order of a model's outputs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from cxr_spark.datasets.csv_table import spelling
from cxr_spark.datasets.synonyms import are_synonyms
from cxr_spark.errors import DataError

NO_FINDING = "No Finding"

#: The labels of NIH ChestX-ray14 (Wang et al., CVPR 2017), "No Finding" last.
NIH_FINDINGS: tuple[str, ...] = (
    "Atelectasis",
    "Cardiomegaly",
    "Effusion",
    "Infiltration",
    "Mass",
    "Nodule",
    "Pneumonia",
    "Pneumothorax",
    "Consolidation",
    "Edema",
    "Emphysema",
    "Fibrosis",
    "Pleural_Thickening",
    "Hernia",
    NO_FINDING,
)

#: The observations of CheXpert (Irvin et al., AAAI 2019), in the order of its label files.
CHEXPERT_FINDINGS: tuple[str, ...] = (
    NO_FINDING,
    "Enlarged Cardiomediastinum",
    "Cardiomegaly",
    "Lung Opacity",
    "Lung Lesion",
    "Edema",
    "Consolidation",
    "Pneumonia",
    "Atelectasis",
    "Pneumothorax",
    "Pleural Effusion",
    "Pleural Other",
    "Fracture",
    "Support Devices",
)


def finding_named(name: str, vocabulary: Sequence[str]) -> str | None:
    """Returns the finding that a name means, whatever its case, blanks, underscores and hyphens, or by a synonym.

    >>> finding_named("pleural thickening", NIH_FINDINGS), finding_named("Pleural Effusion", NIH_FINDINGS)
    ('Pleural_Thickening', 'Effusion')

    Args:
        name: the name as a file has it.
        vocabulary: the findings to choose from.

    Returns:
        The finding as `vocabulary` spells it; None where no finding or more than one could be meant.
    """
    if name in vocabulary:
        return name
    like = [finding for finding in vocabulary if spelling(finding) == spelling(name)]
    like = like or [finding for finding in vocabulary if are_synonyms(finding, name)]
    return like[0] if len(like) == 1 else None


def shared_findings(names: Sequence[str], vocabulary: Sequence[str]) -> dict[str, str]:
    """Returns the findings that two vocabularies share. Equal names are matched before synonyms, each finding once.

    >>> shared_findings(("Mass", "Effusion", "Edema"), CHEXPERT_FINDINGS)
    {'Edema': 'Edema', 'Effusion': 'Pleural Effusion'}

    Args:
        names: the findings of the first vocabulary, such as a model's.
        vocabulary: the findings of the second one, such as a label file's.

    Returns:
        The name in the second vocabulary for each shared name of the first.
    """
    found = {name: name for name in names if name in vocabulary}
    for name in names:
        free = [finding for finding in vocabulary if finding not in found.values()]
        other = finding_named(name, free) if name not in found else None
        if other is not None:
            found[name] = other
    return found


def told_synonyms(found: Mapping[str, str]) -> str | None:
    """Returns a sentence on the findings that were matched though their names differ; None where there are none.

    Args:
        found: what `shared_findings` returned.
    """
    other = [f"{name!r} for {called!r}" for name, called in found.items() if name != called]
    return f"findings taken for each other by their names: {', '.join(other)}" if other else None


def encode(names: Iterable[str], vocabulary: Sequence[str]) -> NDArray[np.float32]:
    """Encodes the findings of one image as a multi-hot vector.

    Args:
        names: the findings that are present; case, blanks, underscores and hyphens do not matter.
        vocabulary: all findings, in the order of the model's outputs.

    Returns:
        float32 array of shape (len(vocabulary),): 1.0 where the finding is present, else 0.0.

    Raises:
        DataError: a name is not in the vocabulary.
    """
    vector = np.zeros(len(vocabulary), dtype=np.float32)
    for name in names:
        finding = finding_named(name, vocabulary)
        if finding is None:
            raise DataError(f"unknown finding {name!r}: expected one of {', '.join(vocabulary)}")
        vector[vocabulary.index(finding)] = 1.0
    return vector
