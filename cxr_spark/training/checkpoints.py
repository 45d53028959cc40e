"""Checkpoints: immutable files named by step and hash, and a manifest, written last, that says which ones are valid.

A checkpoint holds the network, its moving average if there is one, the optimiser's state, the progress and the history.
The learning rate, the order of the images, flips and dropout follow from seed, epoch and step, so no state of a random
generator needs to be kept.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Annotated, Any

import torch
from pydantic import ConfigDict, Field, model_validator
from safetensors import SafetensorError
from safetensors.torch import load, save

from cxr_spark.errors import DataError
from cxr_spark.models.header_note import read_note
from cxr_spark.models.tensors import check_values
from cxr_spark.storage.store import NotJsonError, Store
from cxr_spark.storage.typed_json import OutsideModel, RelativeName, Sha256, validated, validated_json

_Count = Annotated[int, Field(ge=0, le=2**48)]
MANIFEST = "manifest.json"
LAST = "last"
#: The names that `save` gives: a step, and a part of the SHA-256 of the content.
_NAME = re.compile(r"step-\d{8,}-[0-9a-f]{16}\.safetensors")
#: The roles of the best checkpoints, with the metric that decides each.
BEST = MappingProxyType({"best_auc": "val_macro_auc", "best_loss": "val_loss", "best_accuracy": "val_accuracy"})


@dataclass(frozen=True)
class Progress:
    """How far a training has come.

    Attributes:
        epoch: number of finished epochs.
        step: number of steps done in the current epoch.
        global_step: number of steps done in all epochs.
        sums: the sum of the losses and the number of labels of every rank in the current epoch.
        seconds: seconds spent on the current epoch.
        history: one entry for each finished epoch.
        finished: whether the training is at its end.
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
    """The state from which a training continues.

    Attributes:
        progress: how far the training has come.
        network: state of the network, by name.
        optimizer: state of the optimiser, by position of the parameter and name of the value; empty at the start.
        average: state of the moving average of the network, by name; empty without one, and at the start.
    """

    progress: Progress
    network: Mapping[str, torch.Tensor]
    optimizer: Mapping[str, torch.Tensor] = field(default_factory=dict)
    average: Mapping[str, torch.Tensor] = field(default_factory=dict)

    @property
    def model(self) -> Mapping[str, torch.Tensor]:
        """State of the network that was validated: the moving average, where there is one."""
        return self.average or self.network


class _Entry(OutsideModel):
    file: RelativeName
    sha256: Sha256
    epoch: _Count
    global_step: _Count


class _Manifest(OutsideModel):
    fingerprint: str | None = None
    roles: dict[str, RelativeName]
    entries: Annotated[list[_Entry], Field(max_length=1_000_000)]

    @model_validator(mode="after")
    def _check(self) -> _Manifest:
        missing = set(self.roles.values()) - {entry.file for entry in self.entries}
        if missing:
            raise ValueError(f"a role names {min(missing)!r}, which is none of its entries")
        return self


class _ProgressNote(OutsideModel):
    """The progress that a checkpoint file tells, as it is checked before it becomes a `Progress`."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=True)

    epoch: _Count = 0
    step: _Count = 0
    global_step: _Count = 0
    sums: tuple[tuple[float, float], ...] = ()
    seconds: float = 0.0
    history: tuple[dict[str, Any], ...] = ()
    finished: bool = False


class Checkpoints:
    """The checkpoints of one run. Only one process may write them.

    Args:
        store: the folder of the checkpoints.
        keep: how many of the latest checkpoints are kept, beside the best ones.
    """

    def __init__(self, store: Store, keep: int = 2) -> None:
        self._store = store
        self._keep = keep

    def manifest(self) -> dict[str, Any] | None:
        """Returns the manifest, or None where nothing was ever saved.

        Raises:
            DataError: the file is not a manifest of checkpoints.
        """
        try:
            manifest = self._store.read_json(MANIFEST)
        except FileNotFoundError:
            return None
        except NotJsonError as error:
            raise DataError(str(error)) from None
        what = f"{self._store.uri_of(MANIFEST)} is not a manifest of checkpoints: delete the folder"
        return validated(_Manifest, manifest, what).model_dump()

    def save(self, checkpoint: Checkpoint, roles: tuple[str, ...], fingerprint: str | None = None) -> None:
        """Writes a checkpoint, and then enters it into the manifest.

        Args:
            checkpoint: the state to save.
            roles: the roles of the checkpoint: `last`, or keys of `BEST`.
            fingerprint: fingerprint of the settings; the first checkpoint's is kept.
        """
        tensors = {f"network.{name}": t for name, t in checkpoint.network.items()}
        tensors |= {f"optimizer.{name}": t for name, t in checkpoint.optimizer.items()}
        tensors |= {f"average.{name}": t for name, t in checkpoint.average.items()}
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

        If the `last` one is damaged, the newest undamaged one before it is read.

        Args:
            role: `last`, or a key of `BEST`.

        Returns:
            The checkpoint, or None where no checkpoint has that role.

        Raises:
            DataError: all checkpoints are damaged or gone.
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
    try:
        tensors, note = load(data), read_note(data, "progress")
    except (SafetensorError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise DataError(f"{what} is not a checkpoint: {error}") from None
    if note is None:
        raise DataError(f"{what} is not a checkpoint: its header tells no progress")
    progress = Progress(**dict(validated_json(_ProgressNote, note, f"{what} is not a checkpoint")))
    states: dict[str, dict[str, torch.Tensor]] = {"network": {}, "optimizer": {}, "average": {}}
    for name, tensor in tensors.items():
        state, _, rest = name.partition(".")
        if state not in states:
            raise DataError(f"{what} is not a checkpoint: it holds a tensor {name!r}")
        if state != "optimizer":  # what an optimiser keeps may leave the range of numbers without harm
            _check_values(rest, tensor, what)
        states[state][rest] = tensor
    return Checkpoint(progress, states["network"], states["optimizer"], states["average"])


def _check_values(name: str, tensor: torch.Tensor, what: str) -> None:
    try:
        check_values(name, tensor, what)
    except DataError as error:
        raise DataError(f"{error}: start anew with --overwrite") from None
