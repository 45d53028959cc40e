"""The process group of a training: the ranks, and what they exchange. With one rank nothing is sent.

Ranks exchange tensors only. Nothing that comes from the network is unpickled.
"""

from __future__ import annotations

import datetime
import gc
import os
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from cxr_spark.errors import RunError
from cxr_spark.models.timm_networks import is_timm_network
from cxr_spark.training.rank.interface import interface_towards
from cxr_spark.training.rank.rendezvous import Rendezvous, RendezvousStore


class ProcessGroup:
    """This process among the ranks of a training.

    Args:
        rank: number of this process, from 0.
        world: number of processes.
        local_rank: number of this process on its host, from 0.
        rendezvous: where the ranks find each other; None under torchrun, which has its own way, and with one rank.

    Attributes:
        rank: the number of this process, as given.
        world: the number of processes, as given.
        local_rank: the number of this process on its host, as given.
    """

    def __init__(
        self, rank: int = 0, world: int = 1, local_rank: int = 0, rendezvous: Rendezvous | None = None
    ) -> None:
        self.rank, self.world, self.local_rank = rank, world, local_rank
        self._rendezvous = rendezvous
        self._store: RendezvousStore | None = None
        self._device = torch.device("cpu")

    @classmethod
    def from_environment(cls) -> ProcessGroup:
        """Returns the group that torchrun's environment variables describe."""
        rank, world, local = (int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
        return cls(rank, world, local)

    def connect(self, device: torch.device, timeout: float) -> None:
        """Joins the group.

        Args:
            device: the device of this rank. GPUs exchange by NCCL, CPUs by gloo.
            timeout: seconds to wait for the other ranks, here and in every exchange.

        Raises:
            RunError: not all ranks came.
        """
        if self.world == 1:
            return
        self._device = device
        backend = "nccl" if device.type == "cuda" else "gloo"
        given = self._rendezvous
        host = given.host if given else os.environ.get("MASTER_ADDR", "localhost")
        port = given.port if given else os.environ.get("MASTER_PORT")
        _choose_interface(host)
        limit = datetime.timedelta(seconds=timeout)
        try:
            if given is None:
                dist.init_process_group(backend, timeout=limit)
            else:
                self._store = RendezvousStore(given, timeout)
                dist.init_process_group(
                    backend, store=self._store, rank=self.rank, world_size=self.world, timeout=limit
                )
        except (RuntimeError, ValueError, RunError) as error:
            raise RunError(
                f"rank {self.rank} of {self.world} found no way to the others at {host}:{port} in {timeout:.0f} s: "
                f"{str(error).splitlines()[0]}"
            ) from error

    def wait_for_all(self) -> None:
        """Waits until all ranks have come here: none may leave while another one still needs it."""
        if self.world > 1:
            dist.barrier()

    def disconnect(self) -> None:
        """Leaves the group. The caller must not hold a network of `parallel` any more.

        Such a network keeps the threads of the group alive. One that wants Python's lock while the interpreter ends
        aborts the process (seen once in 105 runs of two ranks), so networks in circles of references are freed before.
        """
        gc.collect()
        if dist.is_initialized():
            dist.destroy_process_group()
        if self._store is not None:
            self._store.close()

    def parallel(self, module: nn.Module) -> nn.Module:
        """Wraps a network so that gradients are averaged over the ranks.

        With more than two ranks the order in which gradients are added decides their last bit. DDP regroups them after
        its first step, unless it looks for unused parameters; then the order is fixed, and a resumed training repeats
        the undisturbed one. Some networks of timm have parameters that no output depends on, which it must look for.
        """
        if self.world == 1:
            return module
        return DistributedDataParallel(
            module,
            broadcast_buffers=False,
            find_unused_parameters=self.world > 2 or is_timm_network(module),
            gradient_as_bucket_view=True,
        )

    def without_exchange(self, parallel: nn.Module) -> AbstractContextManager[None]:
        """Returns a context in which a network of `parallel` adds up its gradients on this rank alone."""
        if isinstance(parallel, DistributedDataParallel):
            exchange: AbstractContextManager[None] = parallel.no_sync()
            return exchange
        return nullcontext()

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
        """Returns the numbers of every rank, exactly, in order of ranks; all ranks give equally many."""
        if self.world == 1:
            return (tuple(values),)
        own = torch.tensor(list(values), dtype=torch.float64, device=self._device)
        return tuple(tuple(tensor.tolist()) for tensor in self._gather(own))

    def gather_rows(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Returns the rows of all ranks, in order of ranks, on every rank.

        Args:
            rows: float32 (n, K); n may differ between ranks.
        """
        if self.world == 1:
            return rows
        counts = [int(count) for count in self._gather(torch.tensor(len(rows), device=self._device))]
        padded = torch.zeros((max(counts), rows.shape[1]), dtype=torch.float32, device=self._device)
        padded[: len(rows)] = torch.from_numpy(np.ascontiguousarray(rows))
        every = self._gather(padded)
        return np.concatenate([tensor[:count].cpu().numpy() for tensor, count in zip(every, counts, strict=True)])

    def _gather(self, own: torch.Tensor) -> list[torch.Tensor]:
        """Returns the tensors of all ranks, which are of one shape.

        torch's `all_gather_object` would unpickle what comes from the network.
        """
        every = [torch.empty_like(own) for _ in range(self.world)]
        dist.all_gather(every, own)
        return every


def _choose_interface(host: str) -> None:
    """Lets gloo and NCCL use the interface that leads to a host, unless the user named one.

    By themselves they take the address that this host's name stands for, often that of the loopback interface.
    """
    interface = interface_towards(host)
    if interface is not None:
        for variable in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"):
            os.environ.setdefault(variable, interface)
