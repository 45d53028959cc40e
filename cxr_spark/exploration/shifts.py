"""Finds where the splits of a dataset differ: findings, sexes, views and ages that are more frequent in one of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from cxr_spark.evaluation.significance import holm, normal_p
from cxr_spark.exploration.distributions import NOT_KNOWN

#: A share is shifted where it differs by this factor, or by so much, from that of the first split.
RATIO, POINTS = 1.5, 0.10
#: Ages are shifted where the means differ by this fraction of the standard deviation (Cohen's small effect, 1988).
EFFECT = 0.2
#: A shift must also be beyond chance: its p-value, corrected for the number of comparisons, below this.
LEVEL = 0.05
Splits = Mapping[str, Mapping[str, Any]]


def shifts_of(splits: Splits) -> list[dict[str, Any]]:
    """Compares every other split with the first one, which is `train` where there are training images.

    Images count as independent, so that small shifts of patients with many images may be found that are chance.

    Args:
        splits: the part `splits` of explore.json.

    Returns:
        For each shift `what` (`finding`, `sex`, `view_position` or `age`), `name`, the two splits as `split` and
        `other`, the numbers of both as `value` and `value_other` (shares; of ages the means in years) and `p_holm`.
    """
    if len(splits) < 2:
        return []
    first = next(iter(splits))
    compared = [
        found for other in list(splits)[1:] for found in (*_shares(splits, first, other), *_ages(splits, first, other))
    ]
    corrected = holm([row["p"] for row in compared])
    shifts = []
    for row, p_value in zip(compared, corrected, strict=True):
        large = row.pop("large")
        row.pop("p")
        if large and p_value is not None and p_value < LEVEL:
            shifts.append({**row, "p_holm": p_value})
    return shifts


def _shares(splits: Splits, first: str, other: str) -> Iterable[dict[str, Any]]:
    for name in splits[first]["findings"]:
        rows = [splits[split]["findings"][name] for split in (first, other)]
        yield from _share(
            "finding", name, (first, other), [(r["positive"], r["positive"] + r["negative"]) for r in rows]
        )
    for key in ("sex", "view_position"):
        known = [{name: n for name, n in splits[split][key].items() if name != NOT_KNOWN} for split in (first, other)]
        for name in sorted({*known[0], *known[1]}):
            counted = [(values.get(name, 0), sum(values.values())) for values in known]
            yield from _share(key, name, (first, other), counted)


def _share(what: str, name: str, pair: tuple[str, str], counted: list[tuple[int, int]]) -> Iterable[dict[str, Any]]:
    """Compares two shares, each (part, whole), by the two-proportion z-test."""
    if not all(whole for _, whole in counted):
        return
    one, two = (part / whole for part, whole in counted)
    pooled = sum(part for part, _ in counted) / sum(whole for _, whole in counted)
    variance = pooled * (1 - pooled) * sum(1 / whole for _, whole in counted)
    large = abs(one - two) >= POINTS or max(one, two) >= RATIO * min(one, two)
    yield _row(what, name, pair, (one, two), normal_p(one - two, variance), large)


def _ages(splits: Splits, first: str, other: str) -> Iterable[dict[str, Any]]:
    ages = [splits[split]["ages"] for split in (first, other)]
    if any(age["known"] < 2 for age in ages):
        return
    away = ages[0]["mean"] - ages[1]["mean"]
    variance = sum(age["std"] ** 2 / age["known"] for age in ages)
    spread = math.sqrt(sum(age["std"] ** 2 for age in ages) / 2)
    large = spread > 0 and abs(away) >= EFFECT * spread
    yield _row("age", "mean age", (first, other), (ages[0]["mean"], ages[1]["mean"]), normal_p(away, variance), large)


def _row(
    what: str, name: str, pair: tuple[str, str], values: tuple[float, float], p: float, large: bool
) -> dict[str, Any]:
    return {
        "what": what,
        "name": name,
        "split": pair[0],
        "other": pair[1],
        "value": values[0],
        "value_other": values[1],
        "p": p,
        "large": large,
    }
