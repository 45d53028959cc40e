"""Checkpoints: immutable files named by step and hash, and a manifest, written last, that says which count.

A checkpoint holds the network, the optimiser's state, the place in the training and its history. Which learning rate,
order, flips and dropout come next follows from seed, epoch and step, so no generator's state needs keeping.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from cxr_spark.errors import DataError
from cxr_spark.storage.store import Store

MANIFEST = "manifest.json"
LAST = "last"
#: The names that `save` gives, and nobody else: a step, and a part of the SHA-256 of the content.
_NAME = re.compile(r"step-\d{8,}-[0-9a-f]{16}\.safetensors")
#: The checkpoints kept for being best, by the metric that they are best in.
BEST = MappingProxyType({"best_auc": "val_macro_auc", "best_loss": "val_loss", "best_accuracy": "val_accuracy"})


@dataclass(frozen=True)
class Progress:
    """The place in a training.

    Attributes:
        epoch: epochs finished.
        step: steps done in the epoch under way.
        global_step: steps done in all.
        sums: of every rank, (loss sum, labels) of the epoch under way.
        seconds: spent on the epoch under way.
        history: one entry a finished epoch.
        finished: whether the training is over.
    """

    epoch: int = 0
    step: int = 0
    global_step: int = 0
    sums: tuple[tuple[float, float], ...] = ()
    seconds: float = 0.0
    history: tuple[dict[str, Any], ...] = ()
    finished: bool = False


@dataclass(frozen=True)
class Checkpoint:
    """What a training goes on from.

    Attributes:
        progress: the place in the training.
        network: state of the network, by name.
        optimizer: state of the optimiser by parameter's position and name; empty for a fresh one.
    """

    progress: Progress
    network: Mapping[str, torch.Tensor]
    optimizer: Mapping[str, torch.Tensor] = field(default_factory=dict)


class Checkpoints:
    """The checkpoints of one run. Only one process writes them.

    Args:
        store: their folder.
        keep: how many of the latest ones are kept, beside the best ones.
    """

    def __init__(self, store: Store, keep: int = 2) -> None:
        self._store = store
        self._keep = keep

    def manifest(self) -> dict[str, Any] | None:
        """Returns the manifest, or None where nothing was ever saved.

        Raises:
            DataError: it is not a manifest of checkpoints.
        """
        try:
            manifest = self._store.read_json(MANIFEST)
        except FileNotFoundError:
            return None
        if not isinstance(manifest, dict) or not isinstance(manifest.get("entries"), list):
            raise DataError(f"{self._store.uri_of(MANIFEST)} is not a manifest of checkpoints: delete the folder")
        return manifest

    def save(self, checkpoint: Checkpoint, roles: tuple[str, ...], fingerprint: str | None = None) -> None:
        """Writes a checkpoint and makes it count.

        Args:
            checkpoint: what to save.
            roles: what it is: `last`, or a key of `BEST`.
            fingerprint: of the settings, kept from the first checkpoint on.
        """
        tensors = {f"network.{name}": t for name, t in checkpoint.network.items()}
        tensors |= {f"optimizer.{name}": t for name, t in checkpoint.optimizer.items()}
        note = {"progress": json.dumps(asdict(checkpoint.progress))}
        data = save({name: t.detach().cpu().contiguous() for name, t in tensors.items()}, note)
        sha256 = hashlib.sha256(data).hexdigest()
        name = f"step-{checkpoint.progress.global_step:08d}-{sha256[:16]}.safetensors"
        self._store.write_bytes(name, data)
        manifest = self.manifest() or {"fingerprint": fingerprint, "roles": {}, "entries": []}
        entry = {
            "file": name,
            "sha256": sha256,
            "epoch": checkpoint.progress.epoch,
            "global_step": checkpoint.progress.global_step,
        }
        manifest["entries"] = [e for e in manifest["entries"] if e["file"] != name] + [entry]
        manifest["roles"].update(dict.fromkeys(roles, name))
        kept = {e["file"] for e in manifest["entries"][-self._keep :]} | set(manifest["roles"].values())
        manifest["entries"] = [e for e in manifest["entries"] if e["file"] in kept]
        self._store.write_json(MANIFEST, manifest)
        for info in list(self._store.files(recursive=False)):
            if _NAME.fullmatch(info.name) and info.name not in kept:
                self._store.delete(info.name)

    def load(self, role: str = LAST) -> Checkpoint | None:
        """Reads a checkpoint.

        A damaged `last` is passed over for the newest one before it that is whole.

        Args:
            role: which one.

        Returns:
            The checkpoint, or None where there is none of that role.

        Raises:
            DataError: none is whole.
        """
        manifest = self.manifest()
        if manifest is None or role not in manifest["roles"]:
            return None
        by_file = {entry["file"]: entry for entry in manifest["entries"]}
        files = [manifest["roles"][role]]
        if role == LAST:
            newest_first = sorted(manifest["entries"], key=lambda e: e["global_step"], reverse=True)
            files += [e["file"] for e in newest_first if e["file"] not in files]
        for file in files:
            data = self._read(file)
            if data is not None and hashlib.sha256(data).hexdigest() == by_file[file]["sha256"]:
                return _parse(data, self._store.uri_of(file))
        raise DataError(f"the checkpoints in {self._store.uri} are damaged or gone: start anew with --overwrite")

    def _read(self, file: str) -> bytes | None:
        try:
            return self._store.read_bytes(file)
        except FileNotFoundError:
            return None


def _parse(data: bytes, what: str) -> Checkpoint:
    length = int.from_bytes(data[:8], "little")
    try:
        tensors = load(data)
        note = json.loads(data[8 : 8 + length])["__metadata__"]["progress"]
        fields = json.loads(note)
        fields["sums"] = tuple((float(a), float(b)) for a, b in fields["sums"])
        fields["history"] = tuple(fields["history"])
        progress = Progress(**fields)
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{what} is not a checkpoint: {error}") from None
    parts: dict[str, dict[str, torch.Tensor]] = {"network": {}, "optimizer": {}}
    for name, tensor in tensors.items():
        part, _, rest = name.partition(".")
        parts[part][rest] = tensor
    return Checkpoint(progress, parts["network"], parts["optimizer"])


def optimizer_state(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """Returns an optimiser's state as tensors named `POSITION.NAME`, parameters counted over all groups."""
    state = optimizer.state_dict()["state"]
    return {
        f"{position}.{name}": torch.as_tensor(value)
        for position, values in state.items()
        for name, value in values.items()
        if value is not None
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, torch.Tensor]) -> None:
    """Puts back what `optimizer_state` gave."""
    if not tensors:
        return
    whole = optimizer.state_dict()
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, tensor in tensors.items():
        position, _, name = key.partition(".")
        # The layout that the parameters have: mixed ones would make every step slower, though not other.
        image_like = tensor.ndim == 4
        state.setdefault(int(position), {})[name] = (
            tensor.contiguous(memory_format=torch.channels_last) if image_like else tensor
        )
    whole["state"] = state
    optimizer.load_state_dict(whole)
