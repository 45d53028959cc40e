"""Names of one finding in several datasets."""

from __future__ import annotations

from itertools import combinations

from cxr_spark.datasets.csv_table import spelling
from cxr_spark.datasets.findings import CHEXPERT_FINDINGS, NIH_FINDINGS, finding_named, shared_findings, told_synonyms
from cxr_spark.datasets.synonyms import GROUPS, are_synonyms


def test_nih_and_chexpert_share_eight_findings() -> None:
    """The same eight that the literature evaluates across the two sets; Lung Lesion is none of NIH's."""
    assert shared_findings(NIH_FINDINGS, CHEXPERT_FINDINGS) == {
        "Atelectasis": "Atelectasis",
        "Cardiomegaly": "Cardiomegaly",
        "Effusion": "Pleural Effusion",
        "Pneumonia": "Pneumonia",
        "Pneumothorax": "Pneumothorax",
        "Consolidation": "Consolidation",
        "Edema": "Edema",
        "No Finding": "No Finding",
    }


def test_names_of_other_sets() -> None:
    assert finding_named("PNEUMONIA", NIH_FINDINGS) == "Pneumonia"
    assert finding_named("Pleural thickening", NIH_FINDINGS) == "Pleural_Thickening"
    assert finding_named("Pulmonary fibrosis", NIH_FINDINGS) == "Fibrosis"
    assert finding_named("effusion", CHEXPERT_FINDINGS) == "Pleural Effusion"
    for name in ("Lung Lesion", "Lung Opacity", "Normal", "Nodule/Mass"):
        assert finding_named(name, NIH_FINDINGS) is None


def test_no_two_findings_of_one_set_are_synonyms() -> None:
    for findings in (NIH_FINDINGS, CHEXPERT_FINDINGS):
        assert not [pair for pair in combinations(findings, 2) if are_synonyms(*pair)]
    names = [spelling(name) for group in GROUPS for name in group]
    assert len(names) == len(set(names))


def test_an_equal_name_goes_before_a_synonym_and_no_finding_is_taken_twice() -> None:
    both = ("Pleural Effusion", "Effusion")
    assert shared_findings(both, both) == {name: name for name in both}
    assert shared_findings(both, ("Effusion",)) == {"Effusion": "Effusion"}
    assert told_synonyms({"Effusion": "Pleural Effusion", "Mass": "Mass"}) == (
        "findings taken for each other by their names: 'Effusion' for 'Pleural Effusion'"
    )
    assert told_synonyms({"Mass": "Mass"}) is None
