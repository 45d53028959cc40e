"""Passes what the ranks print on to the driver's log."""

from __future__ import annotations

import logging
import re
import sys

log = logging.getLogger(__name__)

#: A line of the package's own logging, as `rank.task` sets it up: time, level, logger.
_OWN = re.compile(r"^\d{4}-\d{2}-\d{2} \S+ [A-Z]+ cxr_spark")


def pass_on(line: str) -> None:
    """Takes a line that a rank printed.

    Lines of the package's own logging go to standard error as they are. All others, such as the trace of a rank that
    died, are shown with `--debug` only: the job's own message tells in one line what went wrong.
    """
    if _OWN.match(line):
        print(line, file=sys.stderr, flush=True)
    elif line.strip():
        log.debug("%s", line)
