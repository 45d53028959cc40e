"""Weights with torchvision's names: its .pth files, and safetensors files of the same layout."""

from __future__ import annotations

import io
import math
import re
import struct
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from cxr_spark.errors import DataError, UsageError
from cxr_spark.models import tensors as tensor_files
from cxr_spark.models.architectures import Architecture, architecture, batch_norm_epsilon_of, build_empty
from cxr_spark.models.importers.fold import fold_grey_input, fold_rgb_input
from cxr_spark.models.limits import MAX_OUTPUTS, check_sum, reading_limits
from cxr_spark.models.weights import Weights, WeightsHeader
from cxr_spark.runtime.isolation import FileContent, read_apart

#: Classifiers of GoogLeNet and Inception that only help to train from scratch.
_AUXILIARY = ("aux1.", "aux2.", "AuxLogits.")
#: torchxrayvision's: thresholds that it keeps beside the weights, and the name of the ResNet inside its own.
_THRESHOLDS, _WRAPPER = ("op_threshs",), "model."
#: The class of an object that torchxrayvision's older files hold, in torch's message that it is not loaded.
_XRV_OBJECT = re.compile(r"\btorchxrayvision(?:\.\w+)+")
#: torchvision's DenseNet file is older than its module names: `denselayer1.norm.1.weight` is now `...norm1.weight`.
_OLD_DENSENET = re.compile(r"^(.*denselayer\d+\.(?:norm|conv))\.([12]\.\w+)$")

#: Before this release a crafted file could run code in spite of `weights_only=True` (CVE-2026-24747).
_SAFE_TORCH = (2, 10)
#: The dtypes that tensors may have, after floating-point ones were converted to float32.
_DTYPES = {torch.float32, torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool}


def read_pth(data: bytes, what: str) -> dict[str, Tensor]:
    """Reads a `state_dict` that torch saved, in a process of its own (`runtime/isolation.py`).

    Nothing but tensors and plain containers is unpickled.

    Raises:
        UsageError: this torch is older than `_SAFE_TORCH`.
        DataError: it is no such file, holds more than tensors, or cannot be read within the limits of that process.
    """
    _check_torch()
    arrays = read_apart(parse_pth, data, what, reading_limits(len(data))).arrays
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def _check_torch() -> None:
    found = tuple(int(part) for part in re.findall(r"\d+", torch.__version__)[:2])
    if found < _SAFE_TORCH:
        raise UsageError(
            f"torch {torch.__version__} runs code that a .pth file brings along, even with weights_only=True: install "
            f"torch {'.'.join(map(str, _SAFE_TORCH))} or newer, or give the weights as .safetensors"
        )


def parse_pth(data: bytes, what: str) -> FileContent:
    """Reads a `state_dict` in this process: the part of `read_pth` that runs in the child.

    Returns:
        The tensors by name; floating-point ones as float32.

    Raises:
        UsageError: this torch is older than `_SAFE_TORCH`.
        DataError: it is no such file, or holds more than tensors.
    """
    _check_torch()
    _check_records(data, what)
    try:
        loaded = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # torch's reader may raise any error at a damaged file
        if isinstance(error, MemoryError) or "DefaultCPUAllocator" in str(error):
            raise MemoryError from None
        if found := _XRV_OBJECT.search(str(error)):
            raise DataError(
                f"{what} holds an object of {found[0]}, which loading would run code for: where you trust the file, "
                "make one of its weights, with torchxrayvision installed: "
                "torch.save(torch.load(FILE, weights_only=False).state_dict(), NEW)"
            ) from None
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise DataError(
            f"{what} is not a file of plain torch weights ({first}): save the network's state_dict() with torch.save"
        ) from None
    if isinstance(loaded, Mapping) and isinstance(loaded.get("state_dict"), Mapping):  # a training checkpoint
        loaded = loaded["state_dict"]
    arrays = {}
    for name, tensor in _plain(loaded, what).items():
        if tensor.dtype not in _DTYPES:
            raise DataError(f"{what}: {name!r} is {tensor.dtype}, expected floating-point or whole numbers")
        arrays[name] = tensor.detach().numpy()
    return FileContent(arrays, None)


def _check_records(data: bytes, what: str) -> None:
    """Makes sure that the records of torch's zip file are together no larger than the file: torch does not compress."""
    if not data.startswith(b"PK"):
        return
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as records:
            declared = sum(record.file_size for record in records.infolist())
    except (zipfile.BadZipFile, ValueError, NotImplementedError, struct.error) as error:
        raise DataError(f"{what} is not a file of plain torch weights ({error}): copy it again") from None
    check_sum(declared, what, limit=len(data))


def _plain(loaded: Any, what: str) -> dict[str, Tensor]:
    if not isinstance(loaded, Mapping) or not loaded:
        raise DataError(f"{what} holds {type(loaded).__name__}, expected the named tensors of a state_dict()")
    found = {}
    declared = 0
    for name, value in loaded.items():
        plain_tensor = isinstance(value, Tensor) and value.layout == torch.strided and value.device.type == "cpu"
        if not isinstance(name, str) or not plain_tensor or value.is_quantized:
            raise DataError(f"{what}: {name!r} is {type(value).__name__}, expected a dense tensor under a name")
        if value.numel() * value.element_size() > value.untyped_storage().nbytes():
            raise DataError(
                f"{what}: {name!r} declares {value.numel():,} values, more than are stored: save the network's "
                "state_dict() with contiguous tensors"
            )
        declared += 4 * value.numel()
        check_sum(declared, what)
        plain = value.float() if value.is_floating_point() else value
        found[name.removeprefix("module.")] = plain  # the prefix is DataParallel's
    return found


def from_state_dict(
    state: Mapping[str, Tensor],
    architecture_name: str,
    *,
    what: str,
    source_kind: Literal["torchvision", "safetensors"],
    source_sha256: str,
    normalisation: tuple[Sequence[float], Sequence[float]] | None = None,
    grey_range: tuple[float, float] | None = None,
) -> Weights:
    """Turns weights with torchvision's names, for normalised RGB or for grey input, into the program's own form.

    Args:
        state: the tensors.
        architecture_name: a key of `ARCHITECTURES`.
        what: the name of the file that they are from, for messages and the record.
        source_kind: the kind of that file, for the record.
        source_sha256: the SHA-256 of that file, for the record.
        normalisation: mean and std of R, G, B (pixels 0 to 1) that the weights expect; default: those of
            torchvision's weights for this architecture.
        grey_range: the values of a black and a white pixel, for a network whose input has one channel.

    Raises:
        UsageError: torchvision's layout does not have this architecture, or the input has another number of channels.
        DataError: the tensors are not of this architecture, or damaged.
    """
    spec = architecture(architecture_name)
    if architecture_name == "small_cnn":
        raise UsageError(f"{what}: there are no weights of small_cnn elsewhere; it is trained from random ones")
    if architecture_name == "resnet50_v1":
        raise UsageError(
            f"{what} has torchvision's layout, whose ResNet-50 has its strides on the 3x3 convolutions: import it with "
            "--architecture resnet50 (resnet50_v1 is Caffe's and Keras's)"
        )
    tensors = {_renamed(name, spec): t for name, t in _without_extras(state).items()}
    stem = f"{spec.stem}.weight"
    _check_channels(tensors.get(stem), grey_range, what)
    if grey_range:
        tensors[stem] = fold_grey_input(tensors[stem], *grey_range)
    head = f"{spec.classifier}.output.weight"
    if head not in tensors or tensors[head].ndim != 2:
        raise DataError(f"{what} has no matrix {spec.classifier}.weight: these are not weights of {architecture_name}")
    n_outputs = tensors[head].shape[0]
    if not 1 <= n_outputs <= MAX_OUTPUTS:
        raise DataError(f"{what}: {spec.classifier}.weight has {n_outputs:,} outputs, expected 1 to {MAX_OUTPUTS:,}")
    network = build_empty(architecture_name, n_outputs)
    expected = network.state_dict()
    for name, wanted in expected.items():  # a count that files older than torch 0.4.1 lack, and nothing uses
        if name.endswith("num_batches_tracked"):
            tensors.setdefault(name, torch.zeros(wanted.shape, dtype=wanted.dtype))
    tensor_files.check(tensors, expected, what)
    mean, std = normalisation or (spec.rgb_mean, spec.rgb_std)
    header = WeightsHeader(
        architecture=architecture_name,
        n_outputs=n_outputs,
        batch_norm_epsilon=batch_norm_epsilon_of(network),
        source=what,
        source_kind=source_kind,
        source_sha256=source_sha256,
    )
    return Weights(header, tensors if grey_range else fold_rgb_input(tensors, spec, mean, std))


def _without_extras(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Leaves out auxiliary classifiers, and what torchxrayvision adds: a prefix of its ResNet, and its thresholds."""
    kept = {name: t for name, t in state.items() if name not in _THRESHOLDS and not name.startswith(_AUXILIARY)}
    wrapped = all(name.startswith(_WRAPPER) for name in kept)
    return {name.removeprefix(_WRAPPER) if wrapped else name: t for name, t in kept.items()}


def _check_channels(kernel: Tensor | None, grey_range: tuple[float, float] | None, what: str) -> None:
    """Makes sure that a network of one channel comes with its range of values, and no other network does.

    Raises:
        UsageError: it does not, or the range cannot be one.
    """
    one = kernel is not None and kernel.ndim == 4 and kernel.shape[1] == 1
    if one and grey_range is None:
        raise UsageError(
            f"{what} is of a network whose input has one channel: say by --grey-range BLACK WHITE what values of a "
            "black and a white pixel it was trained with; for torchxrayvision's networks --grey-range -1024 1024"
        )
    if grey_range is None:
        return
    if not one:
        raise UsageError(f"{what}: --grey-range is for networks whose input has one channel, which this one has not")
    black, white = grey_range
    if not (math.isfinite(black) and math.isfinite(white) and black != white):
        raise UsageError(f"--grey-range {black:g} {white:g}: expected two different numbers, such as -1024 1024")


def _renamed(name: str, spec: Architecture) -> str:
    name = _OLD_DENSENET.sub(r"\1\2", name)
    for part in ("weight", "bias"):
        if name == f"{spec.classifier}.{part}":
            return f"{spec.classifier}.output.{part}"
    return name
