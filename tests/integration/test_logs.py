"""What an operator finds in the log of a night: a line a phase, how each job ended, nothing of patients or secrets."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from cxr_spark.commands.main import main

SECRET = "hunter2-0f3a9c"
SECRETS = ["spark.authenticate.secret", "spark.hadoop.fs.s3a.secret.key", "spark.ssl.keyStorePassword"]
SMALL = [
    "model.architecture=efficientnet_b0", "model.input_size=32", "train.epochs=2", "train.global_batch=8",
    "train.threads_per_worker=1",
]  # fmt: skip
#: Time, level, module, words.
LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (INFO|WARNING|ERROR) [\w.]+: \S.*")
#: For each job, the lines that tell how its phases went, in order.
PHASES = {
    "prepare": [
        r"found 25 images and \d+ other files",
        r"preparing 24 images in \d+ files of \S+",
        r"prepared 23 of 24 images in \d+\.\d s, \d+ images/s",
        r"splits: train \d+, val \d+, test \d+",
        r"quarantined: hidden_name 1, not_an_image 1",
    ],
    "train": [
        r"training: \d+ images, \d+ for validation, 1 ranks, 1 threads each, cpu (fp32|bf16), \d+ steps an epoch, .*",
        r"epoch 1/2 done: .*",
        r"epoch 2/2 done: .*",
    ],
    "score": [r"found 25 images and \d+ other files", r"scored 23 images in \d+\.\d s, \d+\.\d images/s"],
    "evaluate": [r"evaluated \d+ images of \d+ findings in \d+\.\d s"],
}


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, list[str]], list[Path], Path]:
    """What four jobs said, the images, and the folder with the outputs."""
    folder = tmp_path_factory.mktemp("night")
    assert main(["sample-data", "--out", str(folder / "nih"), "--images", "24", "--size", "64", "--seed", "3"]) == 0
    images = sorted((folder / "nih").rglob("*.png"))
    images[0].write_bytes(b"not a PNG")
    hidden = images[1].with_name(f"_{images[1].name}")
    hidden.write_bytes(images[1].read_bytes())
    jobs: dict[str, Sequence[object]] = {
        "prepare": ["--images", folder / "nih", "--labels", folder / "nih" / "Data_Entry_2017.csv", "--size", 32,
                    "--max-bad-fraction", 0.5],
        "train": ["--data", folder / "prepare", *(part for each in SMALL for part in ("--set", each))],
        "score": ["--images", folder / "nih", "--model", folder / "train" / "model"],
        "evaluate": ["--predictions", folder / "score", "--labels", folder / "nih" / "Data_Entry_2017.csv"],
    }  # fmt: skip
    secrets = [part for key in SECRETS for part in ("--spark", f"{key}={SECRET}")]
    said = {}
    for job, options in jobs.items():
        command = [sys.executable, "-m", "cxr_spark.commands.main", job, *options, "--out", folder / job, *secrets]
        ended = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=300)
        assert ended.returncode == 0, ended.stderr
        said[job] = [*ended.stdout.splitlines(), *ended.stderr.splitlines()]
    return said, [*images, hidden], folder


@pytest.mark.parametrize("job", PHASES)
def test_a_line_a_phase_and_how_it_ended(night, job):
    said, _, _ = night
    lines = [line for line in said[job] if LINE.fullmatch(line)]
    found = iter(lines)
    for phase in PHASES[job]:
        assert any(re.fullmatch(rf"[^:]+:\d\d:\d\d,\d+ \w+ [\w.]+: {phase}", line) for line in found), (phase, lines)
    assert re.fullmatch(rf".* INFO cxr_spark: job={job} exit_status=0 seconds=\d+\.\d", lines[-1])


@pytest.mark.parametrize("job", PHASES)
def test_nothing_of_any_patient_or_image(night, job):
    said, images, _ = night
    names = {path.stem.lstrip("_") for path in images}
    assert [line for line in said[job] if any(name in line for name in names)] == []


def test_no_secrets_in_logs_and_outputs(night):
    said, _, folder = night
    assert [line for lines in said.values() for line in lines if SECRET in line] == []
    written = [path for job in PHASES for path in (folder / job).rglob("*") if path.is_file()]
    assert len(written) > 20
    assert [path for path in written if SECRET.encode() in path.read_bytes()] == []
