"""Number formats of a computation, and which one each kind of work takes by itself."""

from __future__ import annotations

from typing import Literal

#: A number format.
NumberFormat = Literal["fp32", "bf16"]
#: What a user asks for; `auto` leaves the choice to the program.
Precision = Literal["auto", "fp32", "bf16"]


def scored_in(precision: Precision) -> NumberFormat:
    """Returns the number format that probabilities are computed in: by itself float32, whatever the hardware.

    bfloat16 keeps 8 bits of each number. On the same weights single AUCs moved by more than 0.01 with it, so that the
    AUCs of a machine that computes in it could not be compared with those of another one.

    >>> scored_in("auto"), scored_in("bf16")
    ('fp32', 'bf16')

    Args:
        precision: the setting.
    """
    return "fp32" if precision == "auto" else precision
