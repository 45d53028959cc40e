"""Networks run by OpenVINO: torch's probabilities, from a file that says what it is, and nothing sent to anybody."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from cxr_spark.config.model import ARCHITECTURE_NAMES
from cxr_spark.errors import DataError, RunError, UsageError
from cxr_spark.models.architectures import architecture, batch_norms, build
from cxr_spark.models.folder import load_model
from cxr_spark.models.metadata import ModelMetadata, Preprocessing
from cxr_spark.models.metadata_file import load_metadata
from cxr_spark.outputs.names import CONVERTED_NAME
from cxr_spark.scoring.converted import Converted
from cxr_spark.scoring.converting import convert_network
from cxr_spark.scoring.engine import Engine
from cxr_spark.scoring.openvino_engine import OpenVinoModel, activate, compiled
from cxr_spark.scoring.shipped import ShippedModel
from cxr_spark.scoring.shipping import ship
from cxr_spark.storage.store import Store
from tests.support.by_torch import bgr_of, by_torch
from tests.support.small_model import write_model

pytest.importorskip("openvino")

OPENVINO = Engine("openvino", "fp32")


class Session:
    """As much of a Spark session as `ship` asks for."""

    def __init__(self) -> None:
        self.sent: list[dict[str, bytes]] = []
        self.sparkContext = SimpleNamespace(broadcast=self._broadcast)

    def _broadcast(self, files: dict[str, bytes]) -> Any:
        self.sent.append(files)
        return SimpleNamespace(value=files)


def shipped(folder: Path, session: Session | None = None, engine: Engine = OPENVINO) -> ShippedModel:
    metadata = load_model(Store(str(folder))).metadata
    return ship(session or Session(), f"file://{folder}", metadata, engine)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def converted_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("model")
    write_model(folder)
    shipped(folder)
    return folder


@pytest.fixture
def folder(converted_folder: Path, tmp_path: Path) -> Path:
    """A model folder with its converted network, which a test may change."""
    return Path(shutil.copytree(converted_folder, tmp_path / "model"))


def tiny() -> tuple[nn.Module, ModelMetadata]:
    """A network that is converted in no time, the same one in every call."""
    torch.manual_seed(1)
    layers = nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
    sizes = Preprocessing(input_size=16, stored_size=16)
    return nn.Sequential(*layers).eval(), ModelMetadata(
        architecture="small_cnn", findings=("A", "B", "C"), preprocessing=sizes
    )


@pytest.fixture(scope="module")
def converted() -> Converted:
    """The tiny network, converted."""
    return convert_network(*tiny())


def images(n: int, side: int) -> np.ndarray:
    """Images with something to see: noise of many scales."""
    random = np.random.default_rng(n)
    smooth = torch.nn.functional.interpolate(torch.from_numpy(random.random((n, 1, 4, 4))), size=(side, side))
    return (smooth[:, 0].numpy() * 200 + random.random((n, side, side)) * 55).astype(np.uint8)


#: They have no layer that `resnet50` and `small_cnn` have not: the converter sees nothing new.
LIKE_OTHERS = {"resnet50_v1", "resnet101", "vgg16"}


@pytest.mark.parametrize("name", [*sorted({*ARCHITECTURE_NAMES} - LIKE_OTHERS), "timm/resnet10t"])
def test_every_kind_of_network_gives_the_probabilities_of_torch(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if name.startswith("timm/"):
        pytest.importorskip("timm")
    monkeypatch.setattr("cxr_spark.scoring.converting._check", lambda *_: None)  # compares as this test does
    side = max(64, architecture(name).minimum_size)
    network, pixels = build(name, 3, seed=1), images(5, side)
    bgr = torch.from_numpy(bgr_of(pixels))
    with torch.inference_mode():
        for norm in batch_norms(network):
            norm.momentum = None  # the statistics become those of the images
        network.train()(bgr)
        for norm in batch_norms(network):  # a mean near the values would magnify how they are rounded
            norm.running_var += norm.running_mean.square()
            norm.running_mean.zero_()
        expected = network.eval()(bgr).sigmoid().numpy()
    assert np.ptp(expected, axis=0).max() > 0.02
    sizes = Preprocessing(input_size=side, stored_size=side)
    metadata = ModelMetadata(architecture=name, findings=("A", "B", "C"), preprocessing=sizes)
    converted = compiled(convert_network(network, metadata), "fp32", 1)
    ready = OpenVinoModel(converted, metadata, OPENVINO)
    np.testing.assert_allclose(ready.predict(pixels, 2), expected, rtol=0, atol=1e-4)  # processors round differently


def test_a_model_folder_is_scored_as_by_torch_in_any_batches(folder: Path) -> None:
    ready, pixels = shipped(folder).on_worker(1), images(7, 32)
    assert ready.engine == OPENVINO
    found = ready.predict(pixels, 7)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, by_torch(folder, pixels), rtol=0, atol=5e-5)
    np.testing.assert_array_equal(ready.predict(pixels, 3), found)
    assert ready.predict(pixels[:0], 3).shape == (0, 3)
    with pytest.raises(DataError, match=r"uint8 \(N, S, S\)"):
        ready.predict(pixels[0], 3)


def test_one_softmax_over_all_classes() -> None:
    logits = np.random.default_rng(1).normal(0, 30, (5, 4)).astype(np.float32)
    np.testing.assert_allclose(activate(logits, "single_label"), torch.from_numpy(logits).softmax(1), atol=1e-6)
    np.testing.assert_allclose(activate(logits, "multi_label"), torch.from_numpy(logits).sigmoid(), atol=1e-6)


def test_the_number_of_threads_is_the_task_s(converted: Converted) -> None:
    assert compiled(converted, "fp32", 2).get_property("INFERENCE_NUM_THREADS") == 2
    network = compiled(converted, "fp32", 1)
    assert network.get_property("INFERENCE_NUM_THREADS") == 1
    assert not network.get_property("ENABLE_CPU_PINNING")


def test_bfloat16_is_computed_or_refused_in_one_line(converted: Converted) -> None:
    flags, pixels = Path("/proc/cpuinfo").read_text(), images(7, 16)
    native = "avx512_bf16" in flags or "amx_bf16" in flags
    try:
        network = compiled(converted, "bf16", 1)
    except RunError as error:
        refusal = str(error)
    else:
        refusal = ""
    if refusal:
        assert not native
        assert "does not compute in bf16 by openvino: use --precision fp32" in refusal
    else:
        assert native or "avx512" in flags  # processors with AVX-512 alone may emulate it
        with torch.inference_mode():
            expected = tiny()[0](torch.from_numpy(bgr_of(pixels))).numpy()
        np.testing.assert_allclose(network(pixels)[0], expected, rtol=0.1, atol=0.5)


def test_a_conversion_that_another_job_replaces_does_no_harm(folder: Path) -> None:
    session, pixels = Session(), images(4, 32)
    model = shipped(folder, session)
    assert [list(files) for files in session.sent] == [[CONVERTED_NAME]]
    (folder / CONVERTED_NAME).write_bytes(b"of another job")
    found = model.on_worker(1).predict(pixels, 4)
    np.testing.assert_allclose(found, by_torch(folder, pixels), rtol=0, atol=5e-5)


def test_the_network_travels_where_the_folder_cannot_be_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(store: Store, name: str, data: bytes) -> None:
        raise RunError(f"cannot write {store.uri_of(name)}: Read-only file system")

    whole = (folder / CONVERTED_NAME).read_bytes()
    (folder / CONVERTED_NAME).unlink()
    monkeypatch.setattr(Store, "write_bytes", refuse)
    known = Converted.from_bytes(whole, "kept")
    monkeypatch.setattr("cxr_spark.scoring.converting.convert_network", lambda *_: known)
    session = Session()
    model = shipped(folder, session)
    assert session.sent == [{CONVERTED_NAME: whole}]
    assert model.on_worker(1).engine == OPENVINO


def test_a_network_that_openvino_gets_wrong_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cxr_spark.scoring.converting.compiled", lambda *_: lambda images: [np.full((3, 3), 0.9)])
    with pytest.raises(RunError, match=r"small_cnn .*differ by .*score with --engine torch"):
        convert_network(*tiny())


def test_a_network_that_openvino_cannot_convert_is_refused() -> None:
    class Odd(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            raise ValueError("no such thing")

    with pytest.raises(RunError, match=r"small_cnn cannot be converted by openvino .*; score with --engine torch"):
        convert_network(Odd(), tiny()[1])


def test_a_driver_without_torch_takes_what_the_folder_keeps(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    metadata, uri = load_metadata(Store(str(folder))), f"file://{folder}"
    monkeypatch.setitem(sys.modules, "torch", None)
    assert ship(Session(), uri, metadata, OPENVINO).converted_sha256 is not None  # type: ignore[arg-type]
    (folder / CONVERTED_NAME).unlink()
    with pytest.raises(UsageError, match=rf"--model {uri} holds no converted network.* needs torch: score once"):
        ship(Session(), uri, metadata, OPENVINO)  # type: ignore[arg-type]


def test_the_conversion_leaves_logging_as_it_is() -> None:
    root = logging.getLogger()
    before = root.level, list(root.handlers), list(root.filters)
    root.setLevel(logging.INFO)
    try:
        convert_network(*tiny())
        assert (root.level, list(root.handlers), list(root.filters)) == (logging.INFO, *before[1:])
    finally:
        root.setLevel(before[0])


def test_a_missing_openvino_is_told_in_one_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = shipped(folder)
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(
        RunError, match=r"pip install 'cxr-spark\[openvino\]' on every node, or score with --engine torch"
    ):
        replace(model, uri="file:///another").on_worker(1)


def test_openvino_sends_nothing_and_leaves_nothing_in_the_home_folder(tmp_path: Path) -> None:
    """Its telemetry writes an identifier below the home folder before it sends anything."""
    code = (
        "import sys; from cxr_spark.scoring.openvino_library import openvino; openvino()\n"
        "print([name for name, module in sys.modules.items() if 'telemetry' in name and module is not None])\n"
        "print('torch' in sys.modules)"
    )
    own = {**os.environ, "HOME": str(tmp_path), "CI": "", "TF_BUILD": "", "JENKINS_URL": ""}
    done = subprocess.run([sys.executable, "-c", code], env=own, capture_output=True, text=True, check=True)
    loaded, with_torch = done.stdout.splitlines()
    assert "openvino_telemetry" not in loaded
    assert with_torch == "False"
    assert list(tmp_path.iterdir()) == []
