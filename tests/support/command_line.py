"""Commands that a test makes up, and their messages."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cxr_spark import commands
from cxr_spark.commands.main import COMMANDS

ROOT = Path(__file__).resolve().parents[2]


def register(module: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(COMMANDS, "job", "does work")
    monkeypatch.setitem(sys.modules, "cxr_spark.commands.job", module)
    monkeypatch.setattr(commands, "job", module, raising=False)


def last_line(text: str) -> str:
    return text.strip().splitlines()[-1]


def failing(error: BaseException) -> Any:
    def work(args: argparse.Namespace) -> dict[str, object]:
        raise error

    return work


def status_of(out: Path) -> dict[str, Any]:
    return json.loads((out / "_status.json").read_text())  # type: ignore[no-any-return]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cxr_spark.commands.main", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
