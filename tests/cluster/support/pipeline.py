"""The jobs one after the other, as small as they can be and still be themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cxr_spark.storage import Store
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

    def prepare(self, *options: object) -> Outcome:
        inputs = ["--images", self.images, "--labels", f"{self.images}/Data_Entry_2017.csv"]
        return self.submitter.run("prepare", *inputs, "--size", 32, "--out", f"{self.root}/prepared", *options)

    def train(self, out: str, *options: object, data: str | None = None) -> Outcome:
        given = ["--data", data or f"{self.root}/prepared", "--out", f"{self.root}/{out}"]
        return self.submitter.run("train", *given, *SMALL, *options)

    def score(self, model: str, out: str = "scores", *options: object) -> Outcome:
        given = ["--data", f"{self.root}/prepared", "--model", model, "--out", f"{self.root}/{out}"]
        return self.submitter.run("score", *given, *options)

    def evaluate(self, scores: str = "scores", *options: object) -> Outcome:
        given = ["--predictions", f"{self.root}/{scores}", "--out", f"{self.root}/evaluation", "--replicates", 20]
        return self.submitter.run("evaluate", *given, *options)

    def json(self, name: str) -> Any:
        """Returns a JSON file below the root."""
        return Store(self.root).read_json(name)
