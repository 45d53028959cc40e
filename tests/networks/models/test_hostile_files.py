"""Files of weights that were made to harm: one clear error each, before memory or time is taken."""

from __future__ import annotations

import io
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cxr_spark.errors import CxrError, DataError
from cxr_spark.models.architectures import build
from cxr_spark.models.importers import import_weights, keras_h5, torchvision_pth
from cxr_spark.models.weights import Weights
from tests.support.hostile_models import QUIET, cheap


def imported(path: Path, architecture: str = "resnet50") -> Weights:
    return import_weights(f"file://{path}", architecture)


def test_a_tensor_that_is_a_small_one_expanded(tmp_path: Path) -> None:
    torch.save({"fc.weight": torch.zeros(1).expand(2**31)}, tmp_path / "w.pth")
    with cheap(), pytest.raises(DataError, match="more than are stored"):
        imported(tmp_path / "w.pth")


def test_many_names_of_one_tensor(tmp_path: Path) -> None:
    tensor = torch.zeros(2**20)
    torch.save({f"t{i}": tensor for i in range(3000)}, tmp_path / "w.pth")
    with cheap(), pytest.raises(DataError, match="declares"):
        imported(tmp_path / "w.pth")


def test_tensors_without_storage(tmp_path: Path) -> None:
    torch.save({"fc.weight": torch.zeros(3, 2048, device="meta")}, tmp_path / "w.pth")
    with pytest.raises(DataError):
        imported(tmp_path / "w.pth")


def test_a_zip_that_grows(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "w.pth", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("archive/data.pkl", b"\0" * (200 << 20))
    with cheap(megabytes=400), pytest.raises(DataError, match="declares"):
        imported(tmp_path / "w.pth")


def keras(path: Path, arrays: int, **options: Any) -> Path:
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [f"l{i}".encode() for i in range(arrays)]
        for i in range(arrays):
            group = file.create_group(f"l{i}")
            group.attrs["weight_names"] = [b"kernel:0"]
            group.create_dataset("kernel:0", **options)
    return path


def test_compressed_arrays_that_are_large_together(tmp_path: Path) -> None:
    options = {"shape": (2**29,), "dtype": np.float32, "chunks": (2**20,), "compression": "gzip"}
    path = keras(tmp_path / "w.h5", 4, **options)
    assert path.stat().st_size < 2**20
    with cheap(), pytest.raises(DataError, match="declares"):
        imported(path, "vgg16")


def test_a_virtual_dataset_cannot_read_another_file(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["x"] = np.ones(5, np.float32)
    layout = h5py.VirtualLayout((5,), np.float32)
    layout[:] = h5py.VirtualSource(str(tmp_path / "secret.h5"), "x", (5,))
    path = keras(tmp_path / "w.h5", 1, data=np.zeros(5, np.float32))
    with h5py.File(path, "a") as file:
        del file["l0/kernel:0"]
        file["l0"].create_virtual_dataset("kernel:0", layout)
    with pytest.raises(DataError, match="in another one"):
        imported(path, "vgg16")


def linked(path: Path, at: str, target: Path, soft: bool) -> Path:
    """Puts a link to what another file holds at a path in a Keras file."""
    keras(path, 1, data=np.zeros(5, np.float32))
    with h5py.File(path, "a") as file:
        if at in file:
            del file[at]
        file["elsewhere" if soft else at] = h5py.ExternalLink(str(target), "/x")
        if soft:
            file[at] = h5py.SoftLink("/elsewhere")
    return path


@pytest.mark.parametrize("at", ["model_weights", "l0", "l0/kernel:0"])
@pytest.mark.parametrize("soft", [False, True])
def test_a_link_to_another_file_is_refused(tmp_path: Path, at: str, soft: bool) -> None:
    path = linked(tmp_path / "w.h5", at, tmp_path / "nowhere.h5", soft)
    with pytest.raises(DataError, match=rf"w\.h5: {at.rpartition('/')[2]} is not in the file itself but a link"):
        keras_h5.parse_h5(path.read_bytes(), "w.h5")


def test_a_file_that_a_link_leads_to_is_not_even_opened(tmp_path: Path) -> None:
    """It is a pipe to which nobody writes: whoever opens it waits for ever."""
    os.mkfifo(tmp_path / "pipe.h5")
    with pytest.raises(DataError, match="is not in the file itself but a link"):
        imported(linked(tmp_path / "w.h5", "l0/kernel:0", tmp_path / "pipe.h5", soft=False), "vgg16")


@pytest.mark.parametrize("attribute", ["layer_names", "weight_names"])
@pytest.mark.parametrize("dtype", ["S12", h5py.string_dtype()])
def test_names_of_one_length_and_of_any_are_read(tmp_path: Path, attribute: str, dtype: Any) -> None:
    """Texts of variable length lie elsewhere in the file."""
    path = keras(tmp_path / "w.h5", 1, data=np.zeros((3, 3), np.float32))
    with h5py.File(path, "a") as file:
        group = file if attribute == "layer_names" else file["l0"]
        del group.attrs[attribute]
        group.attrs.create(attribute, [b"l0" if attribute == "layer_names" else b"kernel:0"], dtype=dtype)
    assert keras_h5.parse_h5(path.read_bytes(), "w.h5").note["places"] == [("l0", "kernel")]


def test_a_list_of_names_that_all_point_at_one_long_text(tmp_path: Path) -> None:
    """A name of variable length is a length and a place: 4,000 of them can share a text of 32 MB, 128 GB in all."""
    path = keras(tmp_path / "w.h5", 1, data=np.zeros(5, np.float32))
    with h5py.File(path, "a") as file:
        del file.attrs["layer_names"]
        file.attrs.create("layer_names", ["x" * 2**25] + ["y"] * 3999, dtype=h5py.string_dtype())
    content = path.read_bytes()
    first = content.index((2**25).to_bytes(4, "little"), content.index(b"layer_names"))
    descriptor = content[first : first + 16]
    path.write_bytes(content[:first] + descriptor * 4000 + content[first + 16 * 4000 :])
    with cheap(seconds=60), pytest.raises(DataError, match=r"w\.h5"):
        imported(path, "vgg16")


def tfjs(folder: Path, paths: list[str], weights: list[dict[str, Any]]) -> Path:
    topology = {"model_config": {"config": {"layers": []}}}
    root = {"modelTopology": topology, "weightsManifest": [{"paths": paths, "weights": weights}]}
    (folder / "model.json").write_text(json.dumps(root))
    return folder / "model.json"


def test_a_shard_that_is_named_many_times(tmp_path: Path) -> None:
    (tmp_path / "s.bin").write_bytes(bytes(4 << 20))
    weights = [{"name": f"l{i}/kernel", "shape": [1 << 20], "dtype": "float32"} for i in range(300)]
    with cheap(), pytest.raises(DataError, match=r"'s\.bin' more than once"):
        imported(tfjs(tmp_path, ["s.bin"] * 300, weights), "vgg16")


def test_a_weight_of_forty_dimensions(tmp_path: Path) -> None:
    (tmp_path / "s.bin").write_bytes(bytes(4))
    with pytest.raises(DataError, match="at most 8"):
        imported(tfjs(tmp_path, ["s.bin"], [{"name": "l/kernel", "shape": [1] * 40, "dtype": "float32"}]), "vgg16")


@QUIET
@given(data=st.data())
def test_damaged_files_of_weights_are_one_clear_error(tmp_path: Path, data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(["pth", "legacy", "h5", "safetensors"]))
    path = tmp_path / f"w.{kind}"
    if kind == "h5":
        keras(path, 2, data=np.ones((3, 3), np.float32))
    elif kind == "safetensors":
        path.write_bytes(__import__("safetensors.torch").torch.save({"fc.weight": torch.zeros(3, 4)}))
    else:
        target = io.BytesIO()
        torch.save({"fc.weight": torch.zeros(3, 4)}, target, _use_new_zipfile_serialization=kind == "pth")
        path.write_bytes(target.getvalue())
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(0, 5))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    with pytest.MonkeyPatch.context() as patch:
        for module in (keras_h5, torchvision_pth):  # here, since so many child processes would take minutes
            patch.setattr(module, "read_apart", lambda reader, data, what, limits: reader(data, what))
        with pytest.raises(CxrError):
            imported(path, "vgg16")


def test_a_file_that_takes_more_memory_than_its_size_allows(tmp_path: Path) -> None:
    shared = torch.zeros(2**18)
    torch.save({f"t{i}": shared for i in range(1000)}, tmp_path / "w.pth")  # 1 GB once each is an array of its own
    with cheap(), pytest.raises(DataError, match=r"w\.pth (needs|gives) more than"):
        imported(tmp_path / "w.pth")


def test_a_whole_file_still_reads(tmp_path: Path) -> None:
    network = build("resnet50", 3)
    state = {name.replace("fc.output.", "fc."): tensor for name, tensor in network.state_dict().items()}
    torch.save(state, tmp_path / "w.pth")
    assert imported(tmp_path / "w.pth").header.n_outputs == 3
