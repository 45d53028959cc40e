"""Makes a synthetic chest X-ray set in NIH's own layout, to try everything else with.

Pictures, label file, boxes and lists say or are accompanied by a notice that they are synthetic. The same options give
the same bytes.
"""

from __future__ import annotations

import argparse

from cxr_spark.errors import UsageError
from cxr_spark.outputs.claim import claim
from cxr_spark.outputs.overlap import config_inputs, refuse_overlap
from cxr_spark.sample_data.drawing import MARK_WIDTH
from cxr_spark.sample_data.writer import LABELS_NAME, TEST_LIST_NAME, TRAIN_LIST_NAME, write_sample_data
from cxr_spark.storage.store import Store, resolve

HELP = "make a synthetic data set in NIH's layout"

MIN_IMAGES, MAX_IMAGES = 3, 1_000_000
MIN_SIZE, MAX_SIZE = MARK_WIDTH, 2048


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's own options."""
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for the set; must be empty or new")
    parser.add_argument(
        "--images", type=int, default=600, metavar="N", help=f"images, {MIN_IMAGES} to {MAX_IMAGES:,} (default: 600)"
    )
    parser.add_argument(
        "--size", type=int, default=128, metavar="PX", help=f"side in pixels, {MIN_SIZE} to {MAX_SIZE} (default: 128)"
    )
    parser.add_argument("--seed", type=int, default=42, metavar="N", help="seed of all that is drawn (default: 42)")


def run(args: argparse.Namespace) -> dict[str, object]:
    """Makes the set.

    Raises:
        UsageError: a number is out of range, or the folder holds something else.
    """
    _within("--images", args.images, MIN_IMAGES, MAX_IMAGES)
    _within("--size", args.size, MIN_SIZE, MAX_SIZE)
    _within("--seed", args.seed, 0, 2**63 - 1)
    store = Store(resolve(args.out))
    refuse_overlap(store.uri, {"--config": config_inputs(args.config)})
    fingerprint = {"images": args.images, "size": args.size, "seed": args.seed}
    with claim(store, "sample-data", fingerprint, args.overwrite) as claimed:
        args.status_uri = store.uri
        if claimed.finished is not None:
            return claimed.finished
        claimed.clear()  # what a killed run left may be of other options
        summary = write_sample_data(store, args.images, args.size, args.seed, claimed.note)
        summary |= {
            "labels": store.uri_of(LABELS_NAME),
            "train_list": store.uri_of(TRAIN_LIST_NAME),
            "test_list": store.uri_of(TEST_LIST_NAME),
        }
        claimed.done(summary)
        return summary


def _within(option: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise UsageError(f"{option} {value}: expected {low} to {high}")
