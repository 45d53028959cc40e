"""What the ranks print, on its way to the driver's log."""

from __future__ import annotations

import io
import logging
import re
import sys

log = logging.getLogger(__name__)

#: A line of our own logging, as `rank.run` sets it up: time, level, logger.
_OWN = re.compile(r"^\d{4}-\d{2}-\d{2} \S+ [A-Z]+ cxr_spark")


class RankOutput(io.TextIOBase):
    """Stands in for standard output while Spark hands on what the ranks print.

    Lines of our own go to standard error as they are. All else, the traces that torchrun prints of a rank that died
    among them, is shown with `--debug` only: what went wrong is told in one line.
    """

    def __init__(self) -> None:
        self._rest = ""

    def write(self, text: str) -> int:
        """Takes text, whole lines or not."""
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            if _OWN.match(line):
                print(line, file=sys.stderr, flush=True)
            elif line.strip():
                log.debug("%s", line)
        return len(text)

    def writable(self) -> bool:
        """It is."""
        return True
