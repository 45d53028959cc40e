"""Commands that run networks say what is missing where torch is not installed; all others do without it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from cxr_spark.commands.main import COMMANDS, main
from cxr_spark.commands.requirements import NEED_TORCH

WITHOUT_TORCH = sorted(set(COMMANDS) - NEED_TORCH)


@pytest.fixture
def no_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setitem(sys.modules, "torchvision", None)


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "--data", "/none", "--out", "/none/out"],
        ["score", "--data", "/none", "--model", "/none/model", "--out", "/none/out"],
        ["explain", "--data", "/none", "--model", "/none/model", "--out", "/none/out"],
        ["import-weights", "/none.pth", "--architecture", "resnet50", "--out", "/none/out.safetensors"],
        ["pipeline", "--config", "/none.yaml"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_missing_torch_is_told_in_one_line_with_what_to_install(
    no_torch: None, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert main(arguments) == 2
    (line,) = [each for each in capsys.readouterr().err.splitlines() if each.startswith("cxr-spark ")]
    assert "torch" in line
    assert "pip install 'cxr-spark[torch]'" in line


def test_a_missing_openvino_is_told_in_one_line_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    line = ["score", "--engine", "openvino", "--data", "/none", "--model", "/none/model", "--out", "/none/out"]
    assert main(line) == 2
    (said,) = [each for each in capsys.readouterr().err.splitlines() if each.startswith("cxr-spark ")]
    assert said.endswith("needs openvino, not installed in this environment: pip install 'cxr-spark[openvino]'")


def test_help_needs_no_torch(no_torch: None, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["train", "--help"])
    assert ended.value.code == 0


@pytest.mark.parametrize("name", WITHOUT_TORCH)
def test_other_commands_load_where_torch_cannot_be_imported(name: str) -> None:
    """What they load while they run, on executors too, is seen by the test of the installed wheel."""
    module = f"cxr_spark.commands.{name.replace('-', '_')}"
    blocked = f"import sys; sys.modules.update(torch=None, torchvision=None); import {module}"
    done = subprocess.run([sys.executable, "-c", blocked], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
