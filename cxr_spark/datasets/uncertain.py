"""The policies for uncertain labels of the CheXpert paper, for any findings.

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

#: The value of an uncertain label by policy: U-Zeros, U-Ones and U-Ignore of the paper.
UNCERTAIN: Mapping[str, float] = MappingProxyType({"zeros": 0.0, "ones": 1.0, "ignore": math.nan})


def uncertain_values(uncertain: str | Mapping[str, str], findings: Sequence[str], whose: str) -> NDArray[np.float64]:
    """Returns the value that an uncertain label of each finding gets.

    >>> uncertain_values({"Edema": "ones"}, ("Edema", "Mass"), "CheXpert").tolist()
    [1.0, nan]

    Args:
        uncertain: one policy of `UNCERTAIN` for all findings, or a policy for each named finding; findings that are not
            named are ignored.
        findings: all findings.
        whose: the name of the dataset of these findings, for messages.

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
