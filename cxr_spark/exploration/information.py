"""How evenly images are spread over the findings, in bits."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


def relative_information(positives: Mapping[str, int]) -> dict[str, Any]:
    """Measures class balance by Shannon's entropy (1948) of a label drawn at random from all positive labels.

    With p_c the share of class c among the positive labels and H = sum of -p_c log2 p_c, the relative information of a
    class is its part of that sum, -p_c log2 p_c / H: what a drawn label of that class contributes on average to what
    is learned from one. A class with hardly any images has a relative information near 0, and so has one that is
    nearly all there is.

    Args:
        positives: images with each finding.

    Returns:
        `entropy_bits` (H); `evenness` (H over its largest value, log2 of the number of classes; Pielou, 1966; null
        below two classes); `findings`: of each `share` (p_c), `bits` (-p_c log2 p_c) and `relative_information` (null
        where H is 0).
    """
    total = sum(positives.values())
    shares = {name: n / total if total else 0.0 for name, n in positives.items()}
    bits = {name: -share * math.log2(share) if share > 0 else 0.0 for name, share in shares.items()}
    entropy = math.fsum(bits.values())
    return {
        "entropy_bits": entropy,
        "evenness": entropy / math.log2(len(shares)) if len(shares) > 1 else None,
        "findings": {
            name: {
                "share": shares[name],
                "bits": bits[name],
                "relative_information": bits[name] / entropy if entropy > 0 else None,
            }
            for name in shares
        },
    }
