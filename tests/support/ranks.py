"""Ranks of a training that a test starts by torchrun, without Spark and without the program's own launcher."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def start_ranks(module: str, out: Path, workers: int) -> subprocess.Popen[bytes]:
    """Starts ranks in a process group of their own, which a test can kill as a whole.

    Args:
        module: what each rank runs.
        out: the folder of the run; `job.json` in it holds the training, and `ranks.log` takes what the ranks say.
        workers: the number of ranks.
    """
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={workers}"]
    with (out / "ranks.log").open("a") as log:
        return subprocess.Popen(
            [*launcher, "-m", module, str(out / "job.json")], start_new_session=True, stdout=log, stderr=log
        )
