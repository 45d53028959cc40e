"""Which device, number format and memory layout a process computes in."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from cxr_spark.config.precision import NumberFormat, Precision, scored_in
from cxr_spark.errors import ConfigError


@dataclass(frozen=True)
class Compute:
    """How a process computes.

    Attributes:
        device: the device that computes.
        bf16: whether matrix work is done in bfloat16.
    """

    device: torch.device
    bf16: bool

    @property
    def precision(self) -> NumberFormat:
        """The number format of matrix work: `bf16` or `fp32`."""
        return "bf16" if self.bf16 else "fp32"

    def autocast(self) -> AbstractContextManager[None]:
        """Returns the context that forward passes run in."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16)

    def place(self, module: nn.Module) -> nn.Module:
        """Moves a network to the device, in the layout that convolutions are fastest in."""
        return module.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def choose(precision: Precision, local_rank: int = 0) -> Compute:
    """Chooses the device of a process: its GPU where there are any, else the CPU.

    Args:
        precision: `auto` takes bfloat16 where the hardware computes in it.
        local_rank: number of the process on its host.

    Raises:
        ConfigError: more processes on this host than it has GPUs.
    """
    if torch.cuda.is_available():
        count = torch.cuda.device_count()
        if local_rank >= count:
            raise ConfigError(
                f"this host has {count} GPU(s), too few for {local_rank + 1} ranks: lower --workers, or set "
                "CUDA_VISIBLE_DEVICES= to train on its CPUs"
            )
        device = torch.device("cuda", local_rank)
        torch.cuda.set_device(device)
        # By default torch rounds the factors of a GPU's convolutions to 10 bits (TF32) and calls it float32.
        torch.backends.cudnn.allow_tf32 = False
        return Compute(device, precision == "bf16" or (precision == "auto" and torch.cuda.is_bf16_supported(False)))
    return Compute(torch.device("cpu"), precision == "bf16" or (precision == "auto" and cpu_has_bf16()))


def choose_to_score(precision: Precision, local_rank: int = 0) -> Compute:
    """Chooses the device of a process that computes probabilities, and the number format by `scored_in`.

    Args:
        precision: as `choose`, but `auto` takes float32.
        local_rank: number of the process on its host.

    Raises:
        ConfigError: as `choose`.
    """
    return choose(scored_in(precision), local_rank)


def cpu_has_bf16() -> bool:
    """Whether the CPU multiplies bfloat16 matrices in hardware; emulated, it is slower than float32."""
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return "amx_bf16" in flags or "avx512_bf16" in flags
