"""Label vocabularies and their multi-hot encoding. The order of a vocabulary is the order of a model's outputs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

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


def encode(names: Iterable[str], vocabulary: Sequence[str]) -> NDArray[np.float32]:
    """Encodes the findings of one image as a multi-hot vector.

    Args:
        names: the findings that are present.
        vocabulary: all findings, in the order of the model's outputs.

    Returns:
        float32 array of shape (len(vocabulary),): 1.0 where the finding is present, else 0.0.

    Raises:
        DataError: a name is not in the vocabulary.
    """
    position = {name: i for i, name in enumerate(vocabulary)}
    vector = np.zeros(len(vocabulary), dtype=np.float32)
    for name in names:
        if name not in position:
            raise DataError(f"unknown finding {name!r}: expected one of {', '.join(vocabulary)}")
        vector[position[name]] = 1.0
    return vector
