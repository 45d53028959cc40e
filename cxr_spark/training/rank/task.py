"""One training rank, as a process of its own: `python -m cxr_spark.training.rank.task`. No Spark here.

Its launcher tells it by standard input what to do (see `process`). For debugging on hosts where every user is trusted,
`torchrun -m cxr_spark.training.rank.task SPEC.json` runs the same ranks without a driver. torchrun's own rendezvous
listens on every interface without a password, so nothing else here uses it.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from cxr_spark.models.device import choose
from cxr_spark.models.freezing import freeze
from cxr_spark.models.stochastic_depth import set_stochastic_depth
from cxr_spark.outputs.names import RANGE_TEST_NAME
from cxr_spark.tables.schema import TRAIN, VALIDATION
from cxr_spark.training.balance import describe
from cxr_spark.training.checkpoints import Checkpoints
from cxr_spark.training.folds import images_of
from cxr_spark.training.rank.failure import refuse_to_repeat, report_failure
from cxr_spark.training.rank.process import read_start
from cxr_spark.training.rank.process_group import ProcessGroup
from cxr_spark.training.rank.range_test import RangeTester
from cxr_spark.training.rank.sampler import Sampler
from cxr_spark.training.rank.shards import bounds, check_one_label_each, load_images, load_shard
from cxr_spark.training.rank.watchdog import watch
from cxr_spark.training.specification import TrainingSpec

log = logging.getLogger("cxr_spark.training")


def run(spec_json: str, group: ProcessGroup) -> None:
    """Runs the training on this rank.

    An error is also left in the checkpoints' folder, where the driver finds it.

    Args:
        spec_json: the training, as JSON of a `TrainingSpec`.
        group: the process group, not connected yet.

    Raises:
        Exception: whatever ended the training.
    """
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr, force=True)
    log.setLevel(logging.INFO)
    spec = TrainingSpec.model_validate_json(spec_json)
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
    index, held_out = images_of(dataset, spec.fold)
    if spec.model.task == "single_label":
        check_one_label_each(index)
    sampler = Sampler(spec.train, index.labels, group.rank, group.world)
    block = bounds(len(held_out), group.rank, group.world)
    shards = {
        TRAIN: load_images(dataset, index, sampler.held(), spec.held_size),
        VALIDATION: load_shard(dataset, held_out, *block, spec.held_size),
    }
    start = Checkpoints(spec.checkpoints).load()
    if start is None:
        raise RuntimeError(f"no checkpoint in {spec.checkpoints.uri}: the driver writes the first one")
    module = spec.network()
    set_stochastic_depth(module, spec.model.stochastic_depth, spec.model.architecture)
    freeze(module, spec.model.freeze)
    trainer = RangeTester(  # a Trainer that can try rates, too
        spec=spec,
        module=compute.place(module),
        group=group,
        compute=compute,
        index=index,
        sampler=sampler,
        train=shards[TRAIN],
        validation=shards[VALIDATION],
    )
    if group.rank == 0:
        log.info(
            "training: %d images, %d for validation, %d ranks, %d threads each, %s %s, %d steps an epoch, from step %d",
            len(index),
            len(held_out),
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
    if spec.range_plan is None:
        trainer.run(start)
    else:
        tried = trainer.try_rates(start, spec.range_plan)
        if group.rank == 0:
            spec.run.write_json(RANGE_TEST_NAME, {"tried": [each.model_dump() for each in tried]})
    group.wait_for_all()


def main(arguments: Sequence[str]) -> None:
    """Runs a rank that a launcher, or torchrun, has started.

    Args:
        arguments: the name of a file that holds the training as JSON under torchrun; otherwise empty.
    """
    if arguments:
        run(Path(arguments[0]).read_text(), ProcessGroup.from_environment())
    else:
        start = read_start(sys.stdin.buffer)
        run(start.spec_json, ProcessGroup(start.rank, start.world, start.local_rank, start.rendezvous))


if __name__ == "__main__":
    main(sys.argv[1:])
