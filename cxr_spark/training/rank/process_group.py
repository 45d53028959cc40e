"""The group of training ranks, and what they tell each other. With one rank nothing is sent."""

from __future__ import annotations

import datetime
import os
from collections.abc import Sequence

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from cxr_spark.errors import RunError
from cxr_spark.training.rank.interface import interface_towards


class ProcessGroup:
    """This process among the ranks of a training, as torchrun's environment tells.

    Attributes:
        rank: number of this process, from 0.
        world: number of processes.
        local_rank: number of this process on its host.
    """

    def __init__(self) -> None:
        self.rank = int(os.environ.get("RANK", "0"))
        self.world = int(os.environ.get("WORLD_SIZE", "1"))
        self.local_rank = int(os.environ.get("LOCAL_RANK", "0"))

    def connect(self, device: torch.device, timeout: float) -> None:
        """Joins the group.

        Args:
            device: of this rank: GPUs talk by NCCL, CPUs by gloo.
            timeout: seconds to wait for the others, here and in every exchange.

        Raises:
            RunError: not all ranks came.
        """
        if self.world == 1:
            return
        backend = "nccl" if device.type == "cuda" else "gloo"
        _choose_interface()
        try:
            dist.init_process_group(backend, timeout=datetime.timedelta(seconds=timeout))
        except (RuntimeError, ValueError) as error:
            raise RunError(
                f"rank {self.rank} of {self.world} found no way to the others at {os.environ.get('MASTER_ADDR')}:"
                f"{os.environ.get('MASTER_PORT')} in {timeout:.0f} s: {str(error).splitlines()[0]}"
            ) from error

    def wait_for_all(self) -> None:
        """Waits until all ranks are here. Spark takes ranks on one host for done when one of them is."""
        if self.world > 1:
            dist.barrier()

    def disconnect(self) -> None:
        """Leaves the group."""
        if dist.is_initialized():
            dist.destroy_process_group()

    def parallel(self, module: nn.Module) -> nn.Module:
        """Wraps a network so that gradients are averaged over the ranks.

        With more than two ranks the order in which gradients are added decides their last bit. DDP regroups them after
        its first step, unless it looks for unused parameters; then the order is fixed, and a resumed training repeats
        the undisturbed one.
        """
        if self.world == 1:
            return module
        return DistributedDataParallel(
            module, broadcast_buffers=False, find_unused_parameters=self.world > 2, gradient_as_bucket_view=True
        )

    def broadcast_buffers(self, module: nn.Module) -> None:
        """Gives all ranks the batch norm statistics of rank 0."""
        if self.world > 1:
            for buffer in module.buffers():
                dist.broadcast(buffer, 0)

    def sum(self, value: torch.Tensor) -> torch.Tensor:
        """Returns a tensor summed over all ranks."""
        if self.world > 1:
            value = value.clone()
            dist.all_reduce(value)
        return value

    def gather_numbers(self, values: Sequence[float]) -> tuple[tuple[float, ...], ...]:
        """Returns what every rank gave, exactly, in order of ranks; all ranks give equally many."""
        if self.world == 1:
            return (tuple(values),)
        every: list[tuple[float, ...] | None] = [None] * self.world
        dist.all_gather_object(every, tuple(values))
        return tuple(item for item in every if item is not None)

    def gather_rows(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Returns the rows of all ranks, in order of ranks, on every rank.

        Args:
            rows: float32 (n, K); n may differ between ranks.
        """
        if self.world == 1:
            return rows
        every: list[NDArray[np.float32] | None] = [None] * self.world
        dist.all_gather_object(every, rows)
        return np.concatenate([item for item in every if item is not None])


def _choose_interface() -> None:
    """Lets gloo and NCCL use the interface that leads to rank 0, unless the user named one.

    By themselves they take the address that this host's name stands for, often that of the loopback interface.
    """
    interface = interface_towards(os.environ.get("MASTER_ADDR", "localhost"))
    if interface is not None:
        for variable in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"):
            os.environ.setdefault(variable, interface)
