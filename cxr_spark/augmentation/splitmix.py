"""The SplitMix64 generator: its constant and its mixing function, from which counter-based draws are made.

A counter-based draw is a hash of its coordinates (seed, image, epoch, ...), so there is no state to share, seed or
restore. Source: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014; the mixing
function is variant 13 of Stafford's.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: The odd integer nearest to 2^64 divided by the golden ratio: the generator's step.
GOLDEN_GAMMA = np.uint64(0x9E3779B97F4A7C15)


def mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Mixes the 64 bits of each number, one to one; 0 stays 0.

    A generator with the state s gives mix(s + GOLDEN_GAMMA), mix(s + 2 GOLDEN_GAMMA), ...:

    >>> mix(np.arange(1, 3, dtype=np.uint64) * GOLDEN_GAMMA + np.uint64(1234567)).tolist()
    [6457827717110365317, 3203168211198807973]
    """
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: NDArray[np.uint64] = x ^ (x >> np.uint64(31))
    return mixed
