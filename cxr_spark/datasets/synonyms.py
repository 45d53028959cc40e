"""Synonyms of findings: different names that datasets have for one and the same sign.

Sources:
    Wang et al., "ChestX-ray8", CVPR 2017, and the data set's file list: Effusion, Infiltration (its list of boxes says
    Infiltrate), Edema, Fibrosis, Pleural_Thickening are findings of the lungs and the pleura.
    Irvin et al., "CheXpert", AAAI 2019: Pleural Effusion, Edema, Lung Opacity.
    Johnson et al., "MIMIC-CXR-JPG", 2019: the observations of CheXpert; its Lung Opacity was called Airspace Opacity in
    the labeller's first version.
    Nguyen et al., "VinDr-CXR", Scientific Data 2022: Pleural effusion, Pulmonary fibrosis, Edema.
    Kermany et al., Cell 2018: PNEUMONIA, which differs in case alone.

Case, blanks and underscores do not matter anywhere (`csv_table.spelling`), so that `Pleural Thickening` and
`Pleural_Thickening` need no line here. What only includes another finding is left out on purpose: Lung Lesion (nodules,
masses and more), Nodule/Mass, Lung Opacity and Infiltration, Normal and No Finding.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from cxr_spark.datasets.csv_table import spelling

#: The names of each finding that has several.
GROUPS: tuple[tuple[str, ...], ...] = (
    ("Effusion", "Pleural Effusion"),
    ("Infiltration", "Infiltrate"),
    ("Edema", "Oedema", "Pulmonary Edema", "Pulmonary Oedema"),
    ("Fibrosis", "Pulmonary Fibrosis"),
    ("Lung Opacity", "Airspace Opacity"),
)
_GROUP_OF: Mapping[str, int] = MappingProxyType(
    {spelling(name): number for number, group in enumerate(GROUPS) for name in group}
)


def are_synonyms(one: str, other: str) -> bool:
    """Returns whether two names mean one finding, though they are spelled differently.

    >>> are_synonyms("pleural_effusion", "Effusion"), are_synonyms("Nodule", "Mass")
    (True, False)
    """
    group = _GROUP_OF.get(spelling(one))
    return group is not None and group == _GROUP_OF.get(spelling(other))
