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
from cxr_spark.training.rank.process_group import ProcessGroup
from cxr_spark.training.rank.shards import Shard, bounds, check_one_label_each, load_shard, read_index
from cxr_spark.training.rank.trainer import Trainer
from cxr_spark.training.rank.watchdog import watch
from cxr_spark.training.specification import TrainingSpec

log = logging.getLogger("cxr_spark.training")

FAILURE = "failure.json"


def run(spec_json: str) -> None:
    """Runs the training on this rank; TorchDistributor calls it in every one.

    An error is also left in the checkpoints' folder, where the driver finds it: of a failed rank Spark tells the last
    lines only.
    """
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr, force=True)
    log.setLevel(logging.INFO)
    spec = TrainingSpec.model_validate_json(spec_json)
    group = ProcessGroup()
    refuse_to_repeat(spec.checkpoints)
    try:
        train(spec, group)
    except Exception as error:
        report_failure(spec.checkpoints, error)
        raise
    finally:
        group.disconnect()


def train(spec: TrainingSpec, group: ProcessGroup) -> None:
    """Trains from the last checkpoint to the end."""
    watch(spec.run, spec.lock_token)
    torch.set_num_threads(spec.threads)
    compute = choose(spec.train.precision, group.local_rank)
    group.connect(compute.device, spec.train.rank_timeout)
    dataset = spec.dataset()
    index = read_index(dataset, TRAIN)
    if spec.model.task == "single_label":
        check_one_label_each(index)
    shards: dict[str, Shard] = {}
    for split, where in ((TRAIN, index), (VALIDATION, read_index(dataset, VALIDATION))):
        shards[split] = load_shard(dataset, where, *bounds(len(where), group.rank, group.world), spec.held_size)
    start = Checkpoints(spec.checkpoints).load()
    if start is None:
        raise RuntimeError(f"no checkpoint in {spec.checkpoints.uri}: the driver writes the first one")
    module = build(
        spec.model.architecture,
        len(spec.findings),
        dropout=spec.model.dropout,
        hidden=spec.model.hidden,
        batch_norm_epsilon=spec.batch_norm_epsilon,
    )
    freeze(module, spec.model.freeze)
    trainer = Trainer(
        spec=spec,
        module=compute.place(module),
        group=group,
        compute=compute,
        index=index,
        train=shards[TRAIN],
        validation=shards[VALIDATION],
    )
    if group.rank == 0:
        log.info(
            "training: %d images, %d for validation, %d ranks, %d threads each, %s %s, %d steps an epoch, from step %d",
            len(index),
            dataset.images(VALIDATION),
            group.world,
            spec.threads,
            compute.device.type,
            "bf16" if compute.bf16 else "fp32",
            trainer.steps_per_epoch,
            start.progress.global_step,
        )
        balanced = describe(spec.train, spec.model.task, index.labels, spec.findings)
        if balanced:
            log.info("%s", balanced)
    trainer.run(start)
    group.wait_for_all()


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
