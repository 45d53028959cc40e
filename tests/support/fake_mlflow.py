"""MLflow in memory, for tests of what happens when it fails: what it holds can be looked at, and it can be down."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from cxr_spark.training.tracking.service import Metric


class DownError(Exception):
    """What a request to a server that is down raises."""


class FakeMlflow:
    """Takes the place of `Service`. Runs are by ID, and each is a dictionary of what was logged."""

    def __init__(self) -> None:
        self.runs: dict[str, dict] = {}
        self.down = False
        self.takes_metrics = 10**9

    def _run(self, run: str) -> dict:
        self._check()
        return self.runs[run]

    def _check(self) -> None:
        if self.down:
            raise DownError("connection refused by http://anna:secret@host:5000")

    def new_run(self, experiment: str, name: str, tags: Mapping[str, str]) -> str:
        self._check()
        run = f"run{len(self.runs)}"
        self.runs[run] = {
            "experiment": experiment, "name": name, "tags": dict(tags), "parameters": {}, "metrics": [], "files": {},
            "status": ["RUNNING"],
        }  # fmt: skip
        return run

    def run_with(self, experiment: str, tag: str, value: str) -> str | None:
        self._check()
        return next((run for run, held in self.runs.items() if held["tags"].get(tag) == value), None)

    def is_there(self, run: str) -> bool:
        self._check()
        return run in self.runs

    def set_status(self, run: str, status: str) -> None:
        self._run(run)["status"].append(status)

    def set_tag(self, run: str, tag: str, value: str) -> None:
        self._run(run)["tags"][tag] = value

    def log_parameters(self, run: str, parameters: Mapping[str, str]) -> None:
        self._run(run)["parameters"].update(parameters)

    def logged(self, run: str, metrics: Iterable[str]) -> set[tuple[str, int]]:
        return {(each.name, each.step) for each in self._run(run)["metrics"] if each.name in set(metrics)}

    def log_metrics(self, run: str, metrics: Iterable[Metric]) -> None:
        held = self._run(run)["metrics"]
        for metric in metrics:
            if self.takes_metrics == 0:
                raise DownError("the connection broke")
            self.takes_metrics -= 1
            held.append(metric)

    def log_results(self, run: str, results: Mapping[str, float]) -> None:
        self._run(run).setdefault("results", {}).update(results)

    def log_file(self, run: str, path: Path, folder: str) -> None:
        self._run(run)["files"][f"{folder}/{path.name}".lstrip("/")] = path.read_bytes()
