"""Measures the images/s of each step on this machine, beside the barest loop that does the same without Spark.

Compare the ratios: absolute figures change with the machine and its load.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cxr_spark.errors import UsageError
from cxr_spark.outputs.claim import claim
from cxr_spark.outputs.overlap import config_inputs, refuse_overlap
from cxr_spark.runtime.application import Application
from cxr_spark.storage.store import Store

HELP = "images/s of each step on this machine, beside a bare loop"

RESULT_NAME = "benchmark.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's own options."""
    add = parser.add_argument
    add("--out", required=True, metavar="URI", help="folder of the result")
    add("--images", type=int, default=512, metavar="N", help="synthetic images (default: 512)")
    add("--size", type=int, default=1024, metavar="PX", help="side of the images (default: 1024, as NIH's)")
    add("--input-size", type=int, default=224, metavar="PX", help="side of the network's input (default: 224)")
    add("--batch", type=int, default=16, metavar="N", help="images a step and a forward pass (default: 16)")
    add("--seed", type=int, default=42, metavar="N", help="seed of images and training (default: 42)")


def run(args: argparse.Namespace) -> dict[str, object]:
    """Writes OUT/benchmark.json."""
    from cxr_spark.commands.bare_loops import benchmark

    for name, least in (("images", 64), ("size", 64), ("input_size", 32), ("batch", 1)):
        value = getattr(args, name)
        if value < least:
            raise UsageError(f"--{name.replace('_', '-')} {value} is too small: expected {least} or more")
    application = Application("cxr-spark benchmark", args.master, args.spark_conf)
    store = Store(application.resolve(args.out))
    refuse_overlap(store.uri, {"--config": config_inputs(args.config)}, application.hadoop_settings)
    fingerprint = {name: getattr(args, name) for name in ("images", "size", "input_size", "batch", "seed")}
    with claim(store, "benchmark", fingerprint, args.overwrite) as claimed:
        args.status_uri = store.uri
        if claimed.finished is not None:
            return claimed.finished
        with tempfile.TemporaryDirectory(prefix="cxr-benchmark-") as work:
            common = _common(args)
            result = benchmark(Path(work), lambda line: _run(line, common), **fingerprint)
        store.write_json(RESULT_NAME, result)
        claimed.done(result)
    return result


def _common(args: argparse.Namespace) -> list[str]:
    master = ["--master", args.master] if args.master else []
    return master + [f"--spark={key}={value}" for key, value in args.spark_conf.items()]


def _run(line: Sequence[str], common: Sequence[str]) -> dict[str, Any]:
    from cxr_spark.commands.main import parse, read_settings

    args = parse([*line, *common])
    read_settings(args)
    summary: dict[str, Any] = args.run(args)
    return summary
