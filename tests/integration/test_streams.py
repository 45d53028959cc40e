"""A whole job whose reader goes away after the first lines."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys

from tests.support.prepared_sets import write_prepared

SMALL = ("model.architecture=efficientnet_b0", "model.input_size=32", "train.epochs=1", "train.global_batch=12")


def test_a_training_is_finished_when_nobody_reads_what_it_prints(tmp_path):
    """`cxr-spark train ... 2>&1 | head -2`."""
    data, run = write_prepared(tmp_path / "data", {"train": 24, "val": 6}), tmp_path / "run"
    command = [sys.executable, "-m", "cxr_spark.commands.main", "train", "--data", str(data), "--out", str(run)]
    command += [text for value in SMALL for text in ("--set", value)]
    line = f"{shlex.join(command)} 2>&1 | head -2; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 2
    status = json.loads((run / "_status.json").read_text())
    assert (status["exit_status"], status["error"]) == (0, None)
    assert json.loads((run / "_done.json").read_text())["summary"] == status["summary"]
    assert len(json.loads((run / "history.json").read_text())) == 1
    assert (run / "model" / "weights.safetensors").exists()
