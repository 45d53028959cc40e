"""Makes a synthetic chest X-ray set in NIH's own layout, to try everything else with.

Pictures, label file, boxes and lists say or are accompanied by a notice that they are synthetic. The same options give
the same bytes.
"""

from __future__ import annotations

import argparse
import re

from cxr_spark.errors import UsageError
from cxr_spark.output import DONE_NAME, claim
from cxr_spark.sample_data.drawing import MARK_WIDTH
from cxr_spark.sample_data.writer import LABELS_NAME, NOTICE_NAME, TEST_LIST_NAME, TRAIN_LIST_NAME, write_sample_data
from cxr_spark.storage import Store, resolve

HELP = "make a synthetic data set in NIH's layout"

MIN_IMAGES, MAX_IMAGES = 3, 1_000_000
MIN_SIZE, MAX_SIZE = MARK_WIDTH, 2048

#: Locks, status and the mark of finished work begin with it: they are no content.
_RECORD = "_"
_NIH_LAYOUT = re.compile(r"images_\d+/|Data_Entry|.*\.(png|jpe?g|dcm)$", re.IGNORECASE)


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
    _refuse_foreign(store, args.overwrite)
    fingerprint = {"images": args.images, "size": args.size, "seed": args.seed}
    with claim(store, "sample-data", fingerprint, args.overwrite) as claimed:
        args.status_uri = store.uri
        if claimed.finished is not None:
            return claimed.finished
        # What a killed run left, perhaps of other options.
        for name in sorted({name.partition("/")[0] for name in _contents(store)}):
            store.delete(name)
        summary = write_sample_data(store, args.images, args.size, args.seed)
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


def _refuse_foreign(store: Store, overwrite: bool) -> None:
    """Refuses a folder with files of another origin; other images are not even deleted with --overwrite."""
    if not store.exists() or store.exists(NOTICE_NAME) or store.exists(DONE_NAME):
        return
    try:
        names = _contents(store)
    except FileNotFoundError:
        raise UsageError(f"--out {store.uri} is a file: expected a folder") from None
    if not names:
        return
    images = [name for name in names if _NIH_LAYOUT.match(name)]
    if images:
        raise UsageError(f"--out {store.uri} holds {images[0]!r}, which this did not make: choose another folder")
    if not overwrite:
        raise UsageError(f"--out {store.uri} is not empty (it holds {names[0]!r}): choose another, or say --overwrite")


def _contents(store: Store) -> list[str]:
    return [info.name for info in store.files() if not info.name.startswith(_RECORD)]
