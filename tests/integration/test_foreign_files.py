"""Files of other people in outputs of real jobs: they stay as they are, and each job's own files are on its record."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from cxr_spark.commands.main import main
from cxr_spark.errors import RunError
from cxr_spark.outputs.claim import Claim
from cxr_spark.outputs.own_files import is_bookkeeping
from cxr_spark.sample_data.writer import write_sample_data
from cxr_spark.storage.store import Store
from tests.support.prepared_sets import write_prepared
from tests.support.small_model import write_model

#: Files that people put beside and between those of each job.
FOREIGN = {
    "prepare": ["notes.txt", "data/split=train/mine.parquet", "quarantine/review.csv"],
    "train": ["notes.txt", "checkpoints/best.safetensors", "model/README.txt"],
    "score": ["notes.txt", "part-00000.parquet", "_quarantine/review.csv"],
    "evaluate": ["notes.txt", "plots/roc.png", "tables/mine.csv"],
    "explore": ["notes.txt", "plots/intensity.png"],
    "explain": ["notes.txt", "mine.png", "layers/features.6/sketch.svg"],
    "sample-data": ["notes.txt", "images_001/images/mine.png"],
}
EVERYWHERE = "a b/ü/.hidden"


@pytest.fixture(scope="module")
def inputs(spark, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    write_sample_data(Store(f"file://{folder}/raw"), 30, 64, 42)
    write_prepared(folder / "data", {"train": 12, "val": 6, "test": 6})
    write_model(folder / "model")
    scored = ["--data", f"{folder}/data", "--model", f"{folder}/model", "--out", f"{folder}/scores"]
    assert main(["score", *scored]) == 0
    return folder


def command(job: str, inputs: Path, out: Path) -> list[str]:
    """Returns a small run of a job."""
    data, model = ["--data", f"{inputs}/data"], ["--model", f"{inputs}/model"]
    options = {
        "prepare": ["--images", f"{inputs}/raw/images_*", "--labels", f"{inputs}/raw/Data_Entry_2017.csv",
                    "--split", "patient", "--size", "32"],
        "train": [*data, "--workers", "1", "--set", "model.architecture=efficientnet_b0", "--set",
                  "model.input_size=32", "--set", "train.epochs=1", "--set", "train.global_batch=12"],
        "score": [*data, *model],
        "evaluate": ["--predictions", f"{inputs}/scores"],
        "explore": data,
        "explain": [*data, *model, "--limit", "2"],
        "sample-data": ["--images", "6", "--size", "64"],
    }  # fmt: skip
    return [job, *options[job], "--out", str(out)]


@pytest.fixture
def fails_in(monkeypatch) -> Callable[[str, list[str]], None]:
    """Runs a job that fails in a step of its claim: `done`, when all is written, or right after `clear`."""

    def run(step: str, line: list[str]) -> None:
        whole = getattr(Claim, step)

        def fail(claimed: Claim, *summary: object) -> None:
            if step == "clear":
                whole(claimed)
            raise RunError("the power went")

        with monkeypatch.context() as patch:
            patch.setattr(Claim, step, fail)
            assert main(line) == 4

    return run


def put(out: Path, names: list[str], when: str) -> dict[Path, bytes]:
    """Puts files of somebody else into an output; their names tell when, before the suffix."""
    files = {}
    for name in names:
        path = out / name
        path = path.with_name(f"{path.stem}_{when}{path.suffix}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(f"mine, {when}".encode())
        files[path] = path.read_bytes()
    return files


def files_of_result(out: Path) -> set[str]:
    names = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    return {name for name in names if not is_bookkeeping(name.partition("/")[0])}


@pytest.mark.parametrize("job", FOREIGN)
def test_foreign_files_stay_and_are_named_and_all_others_are_on_record(job, inputs, tmp_path, fails_in, capfd) -> None:
    out = tmp_path / "out"
    line = command(job, inputs, out)
    foreign: dict[Path, bytes] = {}

    def names() -> set[str]:
        return {path.relative_to(out).as_posix() for path in foreign}

    def check(told: bool) -> None:
        assert {path: path.read_bytes() for path in foreign} == foreign
        warnings = [text for text in capfd.readouterr().err.splitlines() if " WARNING " in text]
        of_these = [text for text in warnings if f"{len(foreign)} files that `cxr-spark {job}` did not write" in text]
        assert len(of_these) == int(told), warnings
        assert not told or all(name in of_these[0] for name in names())

    def check_record() -> None:
        own = files_of_result(out) - names()
        assert own
        assert set(json.loads((out / "_cxr_spark.json").read_text())["files"]) == own

    fails_in("done", line)
    foreign |= put(out, [*FOREIGN[job], EVERYWHERE], "unfinished")
    assert main(line) == 0
    check(told=True)
    check_record()

    foreign |= put(out, FOREIGN[job], "finished")
    assert main(line) == 0  # finds its finished work, and touches nothing
    check(told=False)
    fails_in("clear", [*line, "--overwrite"])
    check(told=True)
    assert files_of_result(out) == names()

    assert main(line) == 0
    check(told=True)
    check_record()
    (out / "_done.json").unlink()  # as if it had been killed just before
    foreign |= put(out, FOREIGN[job], "unfinished again")
    fails_in("clear", [*line, "--overwrite"])
    check(told=True)
    assert files_of_result(out) == names()
