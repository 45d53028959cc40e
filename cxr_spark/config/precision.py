"""Libraries and number formats of a computation, and which one each kind of work takes by itself."""

from __future__ import annotations

from typing import Literal

#: A number format.
NumberFormat = Literal["fp32", "bf16"]
#: A library that runs networks.
EngineName = Literal["torch", "openvino"]
#: The library and the number format that a user asks for; `auto` leaves the choice to the program.
EngineChoice = Literal["auto", "torch", "openvino"]
Precision = Literal["auto", "fp32", "bf16"]


def scored_in(precision: Precision) -> NumberFormat:
    """Returns the number format that probabilities are computed in: by itself float32, whatever the hardware.

    bfloat16 keeps 8 bits of each number. On the same weights single AUCs moved by up to 0.002 with it, so that the
    AUCs of a machine that computes in it could not be compared with those of another one.

    >>> scored_in("auto"), scored_in("bf16")
    ('fp32', 'bf16')

    Args:
        precision: the setting.
    """
    return "fp32" if precision == "auto" else precision


def scored_by(engine: EngineChoice) -> EngineName:
    """Returns the library that computes probabilities: by itself torch.

    >>> scored_by("auto"), scored_by("openvino")
    ('torch', 'openvino')

    Args:
        engine: the setting.
    """
    return "torch" if engine == "auto" else engine
