"""MLflow for tests: a server on the loopback address, and its client. `make test-mlflow` runs these where MLflow is."""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.prepared_sets import write_prepared


@pytest.fixture(scope="session", autouse=True)
def _installed() -> None:
    """Skips the tests, visibly, where MLflow is not."""
    if importlib.util.find_spec("mlflow") is None:
        pytest.skip("no mlflow in this environment: `make test-mlflow` makes one that has it")


class MlflowServer:
    """An MLflow server, which can be stopped and started again on the same port.

    Args:
        folder: where it keeps its database and the artifacts.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def uri(self) -> str:
        """The tracking URI."""
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Starts the server and waits until it answers."""
        command = [
            *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self._port)),
            *("--workers", "1", "--backend-store-uri", f"sqlite:///{self._folder}/mlflow.db"),
            *("--artifacts-destination", str(self._folder / "artifacts")),
        ]
        own = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
        self._folder.mkdir(exist_ok=True)
        with (self._folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(command, env=own, stdout=log, stderr=log, start_new_session=True)
        deadline = time.monotonic() + 200
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                pytest.fail("the server did not start: " + (self._folder / "server.log").read_text()[-2000:])
            time.sleep(0.2)

    def stop(self) -> None:
        """Ends the server with its workers, by the process group that it leads."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    """A server for all tests; one that stops it starts it again."""
    made = MlflowServer(tmp_path_factory.mktemp("mlflow") / "server")
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small prepared data set."""
    return write_prepared(tmp_path_factory.mktemp("data") / "prepared", {"train": 50, "val": 11, "test": 5})
