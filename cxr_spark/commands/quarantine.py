"""Prints which images a job set aside, and why, as CSV: URI is the output of prepare, score or explain.

Spreadsheets take a cell that begins with =, +, - or @ for a formula: such a text gets an apostrophe in front.
"""

from __future__ import annotations

import argparse
import csv
import logging
import sys

from cxr_spark.errors import UsageError
from cxr_spark.storage.store import Store, resolve
from cxr_spark.tables.quarantine import read_quarantine
from cxr_spark.tables.schema import QUARANTINE
from cxr_spark.tables.text import spreadsheet_safe

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's own options."""
    parser.add_argument("uri", metavar="URI", help="output of the job, or the quarantine's folder in it")
    parser.add_argument("--limit", metavar="N", help="number of images that are printed, the first ones; default: all")


def run(args: argparse.Namespace) -> dict[str, object]:
    """Prints the table.

    Raises:
        UsageError: `--limit` is not a number above 0.
        DataError: there is no such folder, or its quarantine is damaged.
    """
    limit = None
    if args.limit is not None:
        if not args.limit.isdecimal() or int(args.limit) == 0:
            raise UsageError(f"--limit {args.limit!r}: expected a whole number of 1 or more")
        limit = int(args.limit)
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(QUARANTINE.names)
    number = printed = 0
    for table in read_quarantine(Store(resolve(args.uri))):
        wanted = table if limit is None else table.slice(0, limit - printed)
        for row in wanted.to_pylist():
            writer.writerow(spreadsheet_safe(row[name] or "") for name in QUARANTINE.names)
        number += table.num_rows
        printed += wanted.num_rows
    log.info("printed %d of %d images", printed, number)
    return {}
