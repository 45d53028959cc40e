"""One training rank: what the cluster starts, and `torchrun -m cxr_spark.training.rank.task JOB.json` for debugging.

No Spark here.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path

import torch

from cxr_spark.errors import CxrError, RunError
from cxr_spark.models.architectures import build
from cxr_spark.models.device import choose
from cxr_spark.models.freezing import freeze
from cxr_spark.storage.store import Store
from cxr_spark.tables.schema import TRAIN, VALIDATION
from cxr_spark.training.balance import describe
from cxr_spark.training.checkpoints import Checkpoints
from cxr_spark.training.rank.process_group import Ranks
from cxr_spark.training.rank.shards import Share, bounds, check_one_label_each, load_share, read_index
from cxr_spark.training.rank.trainer import Trainer
from cxr_spark.training.rank.watchdog import watch
from cxr_spark.training.specification import TrainingJob

log = logging.getLogger("cxr_spark.training")

FAILURE = "failure.json"


def run(job_json: str) -> None:
    """Runs the training on this rank; TorchDistributor calls it in every one.

    An error is also left in the checkpoints' folder, where the driver finds it: of a failed rank Spark tells the last
    lines only.
    """
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr, force=True)
    log.setLevel(logging.INFO)
    job = TrainingJob.model_validate_json(job_json)
    ranks = Ranks()
    refuse_to_repeat(job.checkpoints)
    try:
        train(job, ranks)
    except Exception as error:
        report_failure(job.checkpoints, error)
        raise
    finally:
        ranks.disconnect()


def train(job: TrainingJob, ranks: Ranks) -> None:
    """Trains from the last checkpoint to the end."""
    watch(job.run, job.lock_token)
    torch.set_num_threads(job.threads)
    compute = choose(job.train.precision, ranks.local_rank)
    ranks.connect(compute.device, job.train.rank_timeout)
    dataset = job.dataset()
    index = read_index(dataset, TRAIN)
    if job.model.task == "single_label":
        check_one_label_each(index)
    shares: dict[str, Share] = {}
    for split, where in ((TRAIN, index), (VALIDATION, read_index(dataset, VALIDATION))):
        shares[split] = load_share(dataset, where, *bounds(len(where), ranks.rank, ranks.world), job.held_size)
    start = Checkpoints(job.checkpoints).load()
    if start is None:
        raise RuntimeError(f"no checkpoint in {job.checkpoints.uri}: the driver writes the first one")
    module = build(
        job.model.architecture,
        len(job.findings),
        dropout=job.model.dropout,
        hidden=job.model.hidden,
        batch_norm_epsilon=job.batch_norm_epsilon,
    )
    freeze(module, job.model.freeze)
    trainer = Trainer(
        job=job,
        module=compute.place(module),
        ranks=ranks,
        compute=compute,
        index=index,
        train=shares[TRAIN],
        validation=shares[VALIDATION],
    )
    if ranks.rank == 0:
        log.info(
            "training: %d images, %d for validation, %d ranks, %d threads each, %s %s, %d steps an epoch, from step %d",
            len(index),
            dataset.images(VALIDATION),
            ranks.world,
            job.threads,
            compute.device.type,
            "bf16" if compute.bf16 else "fp32",
            trainer.steps_per_epoch,
            start.progress.global_step,
        )
        balanced = describe(job.train, job.model.task, index.labels, job.findings)
        if balanced:
            log.info("%s", balanced)
    trainer.run(start)
    ranks.wait_for_all()


def report_failure(store: Store, error: Exception) -> None:
    """Leaves an error where the driver finds it; the first one stays."""
    kind, message = type(error).__name__, str(error)
    if not isinstance(error, CxrError):
        kind, message = "RunError", f"{kind}: {message}"
    store.create_exclusive(FAILURE, json.dumps({"kind": kind, "message": message}).encode())


def refuse_to_repeat(store: Store) -> None:
    """Ends a rank that Spark started again after an error that no repetition mends.

    Spark repeats a failed barrier stage by itself, up to three times. The driver deletes the record when it starts the
    ranks anew.

    Raises:
        CxrError: the error that is recorded.
    """
    try:
        told = store.read_json(FAILURE)
    except FileNotFoundError:
        return
    if told["kind"] != RunError.__name__:
        raise CxrError(str(told["message"]))


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    run(Path(sys.argv[1]).read_text())
