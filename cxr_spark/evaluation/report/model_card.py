"""The model card of an evaluated model, in the shape of CHAI's applied model card, filled from the run.

The names of its parts are those of the schema 0.2 of the Coalition for Health AI, see `SCHEMA`. What a run cannot know
is marked as a blank for people to fill in, never guessed. No Spark.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cxr_spark.evaluation.decisions.classification import RULES
from cxr_spark.evaluation.report.words import model_in_words
from cxr_spark.reporting.numbers import count, interval, words

#: The mark before a blank that people have to fill in.
BLANK = "TO BE FILLED IN:"
SCHEMA = "https://mc.chai.org/v0.2/schema.xsd"
Numbers = Mapping[str, Any]
_Result = dict[str, str]


def model_card(metrics: Numbers, prepared: Numbers, created: str) -> dict[str, Any]:
    """Returns the model card.

    Args:
        metrics: the content of metrics.json.
        prepared: what is known of the prepared data: `dataset`, `split` and, by split, `splits`.
        created: the time of the evaluation.

    Returns:
        JSON values: the element `AppliedModelCard` with its parts in the order of the schema. Parts that repeat are
        lists; a `ValueJson` is a text that holds JSON, as the schema wants it.
    """
    return {
        "schema": SCHEMA,
        "AppliedModelCard": {
            "BasicInfo": {
                "ModelName": model_in_words(metrics),
                "ModelDeveloper": blank("the organisation that answers for the model"),
                "DeveloperContact": blank("whom users write to"),
            },
            "ReleaseInfo": {
                "ReleaseStage": blank("research, pilot or in use; not a medical device as it comes from this program"),
                "ReleaseDate": blank(f"the date of the release; this card was made on {created}"),
                "ReleaseVersion": metrics["model_id"] or blank("the version; the predictions name no model"),
                "GlobalAvailability": blank("where the model may be used"),
            },
            "ModelSummary": {
                "Summary": f"A network that gives for a chest radiograph the probability of {_names(metrics)}.",
                "Keywords": {"Keyword": ["chest X-ray", *map(words, metrics["findings"])]},
            },
            "UsesAndDirections": _uses(),
            "Warnings": _warnings(metrics),
            "TrustIngredients": _trust(metrics, prepared),
            "KeyMetrics": _key_metrics(metrics),
            "Resources": {
                "PeerReviewedPublications": blank("publications about this model, or none"),
                "PatientConsentOrDisclosure": blank("whether patients are told, and how they consent"),
            },
            "Bibliography": blank("the publications of the data set and of the network"),
        },
    }


def blank(what: str) -> str:
    """Returns the mark of a blank that only people can fill."""
    return f"{BLANK} {what}"


def _names(metrics: Numbers) -> str:
    return ", ".join(map(words, metrics["findings"]))


def _uses() -> dict[str, str]:
    return {
        "IntendedUseAndWorkflow": blank("what the model is for, and where in the workflow it stands"),
        "PrimaryIntendedUsers": blank("who uses it"),
        "HowToUse": blank("how its output is read: which threshold, and who decides"),
        "TargetedPatientPopulation": blank("for which patients and which images it may be used"),
        "CautionedOutOfScopeSettings": blank("where it must not be used: other ages, views, devices or sites"),
    }


def _warnings(metrics: Numbers) -> dict[str, str]:
    limits = [
        "For research only: as it comes from this program the model is no medical device.",
        "Its numbers hold for images like those of this evaluation.",
        *metrics["warnings"],
    ]
    flagged = [f"{name} ({', '.join(found)})" for name, found in _flagged(metrics)]
    biases = "No subgroup by sex, age band or view position differs from the rest after Holm's correction."
    if not metrics["subgroups"]:
        biases = "Subgroups could not be compared: the images name no sex, age or view position, or one alone."
    elif flagged:
        biases = f"These subgroups differ from the rest after Holm's correction: {'; '.join(flagged)}."
    return {
        "KnownRisksAndLimitations": " ".join(limits),
        "KnownBiasesOrEthicalConsiderations": biases,
        "ClinicalRiskLevel": blank("the risk class by the law that applies"),
    }


def _flagged(metrics: Numbers) -> Iterable[tuple[str, list[str]]]:
    for name, group in _groups(metrics):
        found = ["mean of the findings"] if group["flagged"] else []
        found += [words(finding) for finding, row in group["findings"].items() if row["flagged"]]
        if found:
            yield name, found


def _groups(metrics: Numbers) -> Iterable[tuple[str, Numbers]]:
    for part in ("subgroups", "subgroup_crossings"):
        for grouping, groups in metrics[part].items():
            for value, group in groups.items():
                yield f"{words(grouping)} {value}", group


def _trust(metrics: Numbers, prepared: Numbers) -> dict[str, Any]:
    model = metrics.get("model") or {}
    return {
        "AISystemFacts": {
            "OutcomesAndOutputs": f"A probability from 0 to 1 for each of: {_names(metrics)}.",
            "ModelType": str(model.get("architecture") or blank("the kind of network")),
            "InputDataSource": str(prepared.get("dataset") or blank("where the images come from")),
            "OutputAndInputDataTypes": _types(model),
            "DevelopmentDataCharacterization": _development(model, prepared),
            "BiasMitigationApproaches": blank("what was done about the differences between subgroups"),
            "OngoingMaintenance": blank("who watches the model in use, and when it is trained anew"),
        },
        "TransparencyInformation": {
            "FundingSource": blank("who paid"),
            "StakeholdersConsulted": blank("who was asked: radiologists, patients, others"),
        },
    }


def _types(model: Numbers) -> str:
    side = model.get("input_size")
    size = f", scaled to {side} x {side} pixels" if side else ""
    return f"Input: a chest radiograph as PNG, JPEG or DICOM{size}. Output: numbers."


def _development(model: Numbers, prepared: Numbers) -> str:
    said = f"Trained on {model['data']}. " if model.get("data") else ""
    splits = prepared.get("splits") or {}
    counted = [
        f"{name} {count(split['images'])} images of {count(split['patients'])} patients"
        for name, split in splits.items()
        if split.get("images")
    ]
    if counted:
        said += f"The prepared data that were scored hold: {'; '.join(counted)}; split: {prepared.get('split')}. "
    return said + blank("sites, devices, years, and how the labels were made")


def _key_metrics(metrics: Numbers) -> dict[str, Any]:
    goals = {
        "UsefulnessUsabilityEfficacy": ("How well images with a finding score above those without it.", _efficacy),
        "FairnessEquity": ("Whether subgroups of patients are served as well as the rest.", _fairness),
        "SafetyReliability": ("Whether probabilities can be trusted, and how many findings are missed.", _safety),
    }
    patients = metrics["n_patients"]
    data = f"{count(metrics['n_images'])} images of {count(patients) if patients else 'unknown'} patients"
    replicates = metrics["bootstrap"]["replicates"]
    return {
        name: {
            "MetricGoal": goal,
            "Results": {"MetricResult": list(results(metrics)) or [_single("nothing measured", None)]},
            "Interpretation": blank("what the numbers mean for the intended use"),
            "TestType": "Retrospective evaluation of predictions against labels, without readers.",
            "TestingDataDescription": f"{data}, split: {metrics['split'] or 'not named'}.",
            "ValidationProcessAndJustification": f"Exact AUCs; 95 % intervals from {count(replicates)} bootstrap "
            "replicates over patients, differences of subgroups with variances over patients (Obuchowski 1997).",
        }
        for name, (goal, results) in goals.items()
    }


def _efficacy(metrics: Numbers) -> Iterable[_Result]:
    yield _estimate("Macro AUC", metrics["macro"]["auc"], metrics["macro"]["auc_ci95"])
    others = metrics.get("macro_without_no_finding")
    if others:
        yield _estimate("Macro AUC without No Finding", others["auc"], others["auc_ci95"])
    for name, found in metrics["findings"].items():
        yield _estimate(f"AUC, {words(name)}", found["auc"], found["auc_ci95"])


def _fairness(metrics: Numbers) -> Iterable[_Result]:
    for name, group in _groups(metrics):
        yield _estimate(f"Macro AUC, {name}", group["macro_auc"], group["macro_auc_ci95"])
        key = "macro_auc_difference"
        yield _estimate(f"Macro AUC, {name}, minus the rest", group[key], group[f"{key}_ci95"])


def _safety(metrics: Numbers) -> Iterable[_Result]:
    for name, found in metrics["calibration"]["findings"].items():
        yield _single(f"Expected calibration error, {words(name)}", found["ece"])
    rule, report = list(metrics["classification"].items())[-1]
    for name, row in report["findings"].items():
        if row["support"]:
            yield _single(f"Missed, {words(name)}, {RULES[rule]}", 1 - row["recall"])


def _estimate(label: str, value: float | None, bounds: Sequence[float] | None) -> _Result:
    if value is None or bounds is None:
        return _single(label, value)
    held = {"kind": "estimate_ci", "estimate": value, "lower": bounds[0], "upper": bounds[1], "level": 95}
    return {"Label": label, "ValueJson": json.dumps(held)}


def _single(label: str, value: float | None) -> _Result:
    return {"Label": label, "ValueJson": json.dumps({"kind": "single", "value": value})}


def result_in_words(result: _Result) -> str:
    """Writes a result as people read it."""
    held = json.loads(result["ValueJson"])
    if held["kind"] == "estimate_ci":
        return f"{held['estimate']:.3f} ({interval([held['lower'], held['upper']])})"
    return "none" if held["value"] is None else f"{held['value']:.3f}"
