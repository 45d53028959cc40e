"""A command whose work a test gives."""

from __future__ import annotations

import argparse
from types import SimpleNamespace

import pytest

from tests.support.command_line import register


@pytest.fixture
def job(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A command `job` whose work the test sets as `job.work(args)`."""
    module = SimpleNamespace(__doc__="Does work.", work=lambda args: {})

    def add_arguments(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--out")
        parser.add_argument("--n", type=int)

    module.add_arguments = add_arguments
    module.run = lambda args: module.work(args)
    register(module, monkeypatch)
    return module
