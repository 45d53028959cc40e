from __future__ import annotations

import json

import pytest

from cxr_spark.evaluation.report.card_text import card_as_markdown
from cxr_spark.evaluation.report.model_card import BLANK, model_card
from cxr_spark.evaluation.report.tables import tables_of
from cxr_spark.outputs.names import names_of
from tests.unit.evaluation.report.test_page import HOSTILE, all_metrics, curve, points_of, subgroup

PREPARED = {
    "dataset": "nih",
    "split": "official",
    "splits": {"train": {"images": 86524, "patients": 28008}, "val": {"images": 0, "patients": 0}},
}
#: The elements of CHAI's schema 0.2 that an applied model card must have, in its order.
REQUIRED = {
    "BasicInfo": ["ModelName", "ModelDeveloper", "DeveloperContact"],
    "ReleaseInfo": ["ReleaseStage", "ReleaseDate", "ReleaseVersion", "GlobalAvailability"],
    "ModelSummary": ["Summary", "Keywords"],
    "UsesAndDirections": [
        "IntendedUseAndWorkflow",
        "PrimaryIntendedUsers",
        "HowToUse",
        "TargetedPatientPopulation",
        "CautionedOutOfScopeSettings",
    ],
    "Warnings": ["KnownRisksAndLimitations", "KnownBiasesOrEthicalConsiderations", "ClinicalRiskLevel"],
    "TrustIngredients": ["AISystemFacts", "TransparencyInformation"],
    "KeyMetrics": ["UsefulnessUsabilityEfficacy", "FairnessEquity", "SafetyReliability"],
    "Resources": ["PeerReviewedPublications", "PatientConsentOrDisclosure"],
}
METRIC = [
    "MetricGoal",
    "Results",
    "Interpretation",
    "TestType",
    "TestingDataDescription",
    "ValidationProcessAndJustification",
]


def card_of(curves=None, prepared=PREPARED, **changes):
    return model_card(all_metrics(curves or {"Mass": curve(), "Edema": curve()}, **changes), prepared, "2020-01-01")


def test_the_card_has_the_parts_of_the_schema_in_its_order():
    card = card_of()["AppliedModelCard"]
    assert list(card) == [*REQUIRED, "Bibliography"]
    for name, parts in REQUIRED.items():
        assert list(card[name]) == parts
    for metric in card["KeyMetrics"].values():
        assert list(metric) == METRIC
        for result in metric["Results"]["MetricResult"]:
            assert list(result) == ["Label", "ValueJson"]
            json.loads(result["ValueJson"])


def test_numbers_are_those_of_the_evaluation():
    card = card_of({"Mass": curve(auc=0.8125), "Edema": curve()})["AppliedModelCard"]
    results = card["KeyMetrics"]["UsefulnessUsabilityEfficacy"]["Results"]["MetricResult"]
    found = {result["Label"]: json.loads(result["ValueJson"]) for result in results}
    assert found["AUC, Mass"]["estimate"] == 0.8125
    assert found["AUC, Mass"]["kind"] == "estimate_ci"
    assert (
        "86,524 images of 28,008 patients"
        in card["TrustIngredients"]["AISystemFacts"]["DevelopmentDataCharacterization"]
    )


def test_what_people_must_say_is_marked_and_nothing_is_guessed():
    for prepared, changes in ((PREPARED, {}), ({}, {"model_id": None})):
        card = card_of(prepared=prepared, **changes)["AppliedModelCard"]
        assert all(text.startswith(BLANK) for text in card["UsesAndDirections"].values())
        assert card["Warnings"]["ClinicalRiskLevel"].startswith(BLANK)
    assert card["ReleaseInfo"]["ReleaseVersion"].startswith(BLANK)
    assert card["TrustIngredients"]["AISystemFacts"]["InputDataSource"].startswith(BLANK)


@pytest.mark.parametrize(
    ("groups", "said"),
    [
        ({}, "could not be compared"),
        ({"sex": {"F": {}}}, "No subgroup"),
        ({"sex": {"F": {"flagged": True}}}, "sex F (mean of the findings, Mass)"),
    ],
)
def test_subgroups_that_differ_are_named_among_the_biases(groups, said):
    made = {
        name: {value: subgroup({"Mass": curve()}, **changes) for value, changes in group.items()}
        for name, group in groups.items()
    }
    card = card_of({"Mass": curve()}, subgroups=made)["AppliedModelCard"]
    assert said in card["Warnings"]["KnownBiasesOrEthicalConsiderations"]


def test_markdown_escapes_what_comes_from_data():
    text = card_as_markdown(card_of({HOSTILE: curve(), "a|b\n# c": curve()}))
    assert "<script" not in text
    assert "a\\|b \\# c" in text
    table = [line for line in text.splitlines() if line.startswith("| AUC, a")]
    assert len(table) == 1
    assert f"**{BLANK}** who uses it" in text
    assert "## Key metrics" in text


def test_every_table_and_card_is_a_file_that_the_program_knows_as_its_own():
    curves = {"Mass": curve(), "Edema": curve()}
    flagged = {"sex": {"F": subgroup(curves, flagged=True)}}
    made = tables_of(
        all_metrics(curves, operating_points=points_of(curves), subgroups=flagged, subgroup_crossings=flagged)
    )
    own = names_of("evaluate")
    assert len(made) >= 13
    for name in (*(f"tables/{name}.{suffix}" for name in made for suffix in ("csv", "tex")), "model_card.md"):
        assert own.is_fixed_or_made(name), name
    for name in ("comparison", "disagreements", "published"):
        assert own.is_fixed_or_made(f"tables/{name}.csv")
