"""What a process that runs networks imports, and what it leaves in the folder of temporary files."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

#: What Spark's Python workers do, then what a rank does, then an operator of torchvision that asks for the compiler.
USES = """
import os, sys, tempfile
import torch
from cxr_spark.config import TrainSettings
from cxr_spark.models.architectures import build
network = build("efficientnet_b0", 2).eval()
with torch.inference_mode():
    network(torch.zeros(1, 3, 32, 32))
network(torch.zeros(1, 3, 32, 32)).sum().backward()
print([name for name in sys.modules if name.startswith("torch._dynamo")])
from cxr_spark.training.rank.optimizer import make_optimizer
make_optimizer(network, TrainSettings()).step()
print("torch._dynamo" in sys.modules, os.listdir(tempfile.gettempdir()))
from torchvision.ops import roi_align
print(roi_align(torch.ones(1, 1, 4, 4), torch.tensor([[0.0, 0.0, 0.0, 4.0, 4.0]]), 2).tolist())
print(sys.modules["torchvision.ops.roi_align"].is_compile_supported("cpu"))
"""
#: What a driver does that writes or checks a model.
EMPTY = """
import os, sys, tempfile
from cxr_spark.models.architectures import ARCHITECTURES, build, build_empty
for name in sorted(ARCHITECTURES, key=lambda name: name == "convnext_tiny"):
    if name == "convnext_tiny":  # it multiplies weights when it is made
        print([name for name in sys.modules if name.startswith("torch._dynamo")])
    network = build_empty(name, 3, hidden=(5,))
    assert {each.device.type for each in [*network.parameters(), *network.buffers()]} == {"meta"}, name
    if name in ("efficientnet_b0", "densenet121"):
        shapes = lambda module: {key: value.shape for key, value in module.state_dict().items()}
        assert shapes(network) == shapes(build(name, 3, hidden=(5,))), name
print(os.listdir(tempfile.gettempdir()))
"""
#: What the driver of explain does with the layers that it draws.
LAYERS = """
import os, tempfile
from cxr_spark.explanation.layers import check_layers
from cxr_spark.models.metadata import ModelMetadata, Preprocessing
sizes = Preprocessing(input_size=32, stored_size=32)
metadata = ModelMetadata(architecture="efficientnet_b0", findings=("A",), preprocessing=sizes)
print(check_layers(metadata, ["features.1"]), os.listdir(tempfile.gettempdir()))
"""
#: Others than this package may have asked for the stand-in's other names while torchvision was imported.
ASKS_FOR_MORE = """
import sys
from cxr_spark.models._torchvision import _COMPILER, _StandIn
sys.modules[_COMPILER] = _StandIn(_COMPILER)
from torch._dynamo.utils import counters
import torch._dynamo
print(type(sys.modules[_COMPILER]).__name__, counters is torch._dynamo.utils.counters)
"""


def run(code: str, temporary: Path) -> list[str]:
    """What code prints, in a process with a folder of temporary files of its own."""
    variables = {name: value for name, value in os.environ.items() if name != "TORCHINDUCTOR_CACHE_DIR"}
    done = subprocess.run(
        [sys.executable, "-c", code], env={**variables, "TMPDIR": str(temporary)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_the_compiler_is_imported_where_it_is_asked_for_and_leaves_no_folder(tmp_path: Path) -> None:
    after_a_prediction, after_a_step, pooled, supported = run(USES, tmp_path)
    assert after_a_prediction == "[]"
    assert after_a_step == "True []"
    assert pooled == "[[[[1.0, 1.0], [1.0, 1.0]]]]"
    assert supported == "True"


def test_networks_without_storage_need_no_compiler(tmp_path: Path) -> None:
    assert run(EMPTY, tmp_path) == ["[]", "[]"]  # no compiler, no folder


def test_shapes_of_layers_leave_no_folder(tmp_path: Path) -> None:
    assert run(LAYERS, tmp_path) == ["{'features.1': (16, 16, 16)} []"]


def test_the_stand_in_makes_way_for_the_compiler(tmp_path: Path) -> None:
    assert run(ASKS_FOR_MORE, tmp_path) == ["module True"]
