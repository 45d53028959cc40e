"""Measures, in bits, how evenly images are spread over the findings."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


def relative_information(positives: Mapping[str, int]) -> dict[str, Any]:
    """Measures class balance by Shannon's entropy (1948) of a label drawn at random from all positive labels.

    p_c is the share of class c among the positive labels, and H is the sum of -p_c log2 p_c over all classes. The
    relative information of a class is its fraction of that sum, -p_c log2 p_c / H. It is near 0 for a class with hardly
    any images, and also for a class that nearly all images have.

    >>> relative_information({"Mass": 30, "Nodule": 30})["entropy_bits"]
    1.0

    Args:
        positives: the number of images with each finding.

    Returns:
        `entropy_bits` (H); `evenness`, which is H over its largest value, log2 of the number of classes (Pielou, 1966;
        null below two classes); `findings` with the `share` (p_c), the `bits` (-p_c log2 p_c) and the
        `relative_information` of each (null where H is 0).
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
