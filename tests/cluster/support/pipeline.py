"""The jobs one after the other, as small as they can be and still be themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cxr_spark.storage.store import Store
from tests.cluster.support.files import leftovers, tables
from tests.cluster.support.submit import Outcome, Submitter

#: A small network on small images: the tests are about the cluster.
SMALL = (
    "--set", "model.architecture=efficientnet_b0", "--set", "model.input_size=32", "--set", "train.epochs=1",
    "--set", "train.global_batch=16", "--set", "train.precision=fp32", "--set", "train.learning_rate=0.001",
    "--set", "train.threads_per_worker=1",
)  # fmt: skip


@dataclass(frozen=True)
class Run:
    """The jobs of one run; every output is a folder below `root`.

    Attributes:
        submitter: where they run.
        images: folder of images, with labels and lists, in NIH's layout.
        root: for the outputs.
    """

    submitter: Submitter
    images: str
    root: str

    def prepare_options(self) -> list[object]:
        inputs = ["--images", self.images, "--labels", f"{self.images}/Data_Entry_2017.csv"]
        return [*inputs, "--size", 32, "--out", f"{self.root}/prepared"]

    def prepare(self) -> Outcome:
        return self.submitter.run("prepare", *self.prepare_options())

    def train_options(self, data: str | None = None) -> list[object]:
        given = ["--data", data or f"{self.root}/prepared", "--out", f"{self.root}/run"]
        return [*given, *SMALL, "--workers", 2]

    def train(self, *options: object, data: str | None = None) -> Outcome:
        return self.submitter.run("train", *self.train_options(data), *options)

    def score(self, *options: object) -> Outcome:
        given = ["--data", f"{self.root}/prepared", "--model", f"{self.root}/run/model", "--out", f"{self.root}/scores"]
        return self.submitter.run("score", *given, *options)

    def evaluate_options(self, scores: str | None = None) -> list[object]:
        given = ["--predictions", scores or f"{self.root}/scores", "--out", f"{self.root}/evaluation"]
        return [*given, "--replicates", 20]

    def evaluate(self) -> Outcome:
        return self.submitter.run("evaluate", *self.evaluate_options())

    def all(self) -> Run:
        """Runs them all, and returns itself."""
        for job in (self.prepare, self.train, self.score, self.evaluate):
            job().ok()
        return self

    def json(self, name: str) -> Any:
        """Returns a JSON file below the root."""
        return Store(self.root).read_json(name)

    def weights(self) -> str:
        """Returns the SHA-256 of the trained weights."""
        return str(self.json("run/model/metadata.json")["weights_sha256"])


def check_prepared(made: Run, reference: Run) -> None:
    """Checks that two runs prepared the same, and that nothing else is there."""
    manifest, wanted = made.json("prepared/manifest.json"), reference.json("prepared/manifest.json")
    assert _counts(manifest) == _counts(wanted)
    assert _contents(manifest) == _contents(wanted)
    assert sorted(tables(f"{made.root}/prepared")) == sorted(file["name"] for file in manifest["files"])
    assert leftovers(made.root) == []


def check_evaluated(made: Run, reference: Run) -> None:
    """Checks that two runs came to the same AUCs."""
    evaluations = [run.json("evaluation/metrics.json") for run in (made, reference)]
    for part in ("findings", "macro", "micro", "n_images", "model_id"):
        assert evaluations[0][part] == evaluations[1][part]
    assert leftovers(made.root) == []


def _counts(manifest: dict[str, Any]) -> dict[str, Any]:
    """What of a manifest must not depend on where the job ran."""
    own = {"created", "files", "bytes", "sources", "versions"}
    return {key: value for key, value in manifest.items() if key not in own}


def _contents(manifest: dict[str, Any]) -> list[tuple[str, int, str]]:
    """Files without what is different in the names of every attempt."""
    return sorted((file["name"].rpartition("-")[0], file["rows"], file["sha256"]) for file in manifest["files"])
