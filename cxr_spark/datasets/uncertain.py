"""What becomes of uncertain labels: the policies of CheXpert's paper, for any findings.

Source: Irvin et al., "CheXpert: A Large Chest Radiograph Dataset with Uncertainty Labels", AAAI 2019, section 4.1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from cxr_spark.datasets.findings import finding_named
from cxr_spark.errors import ConfigError

#: What an uncertain observation becomes, by policy: U-Zeros, U-Ones and U-Ignore of the paper.
UNCERTAIN: Mapping[str, float] = MappingProxyType({"zeros": 0.0, "ones": 1.0, "ignore": math.nan})


def uncertain_values(uncertain: str | Mapping[str, str], findings: Sequence[str], whose: str) -> NDArray[np.float64]:
    """Returns what an uncertain label of each finding becomes.

    Args:
        uncertain: a policy of `UNCERTAIN`, for all; or one for each finding that is named, the others being ignored.
        findings: the findings that there are.
        whose: whose findings these are, for messages.

    Returns:
        float64 of shape (findings,): 0, 1 or NaN.

    Raises:
        ConfigError: an unknown policy or finding.
    """
    given = dict.fromkeys(findings, uncertain) if isinstance(uncertain, str) else uncertain
    by_finding: dict[str, str] = {}
    for name, policy in given.items():
        finding = finding_named(name, findings)
        if finding is None:
            raise ConfigError(f"uncertain: {name!r} is no finding of {whose}: expected {', '.join(findings)}")
        by_finding[finding] = policy
        if policy not in UNCERTAIN:
            raise ConfigError(f"uncertain: {policy!r} is not known: expected one of {', '.join(UNCERTAIN)}")
    return np.array([UNCERTAIN[by_finding.get(finding, "ignore")] for finding in findings])
