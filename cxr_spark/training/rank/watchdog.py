"""Ends a rank whose driver is gone. A run that was killed must not write beside the run that follows it."""

from __future__ import annotations

import logging
import os
import threading

from cxr_spark.errors import RunError
from cxr_spark.outputs.lock import Witness, read_holder
from cxr_spark.storage.store import Store

log = logging.getLogger(__name__)

#: Seconds between two looks at the lock.
_EVERY = 5.0


def watch(run: Store, token: str | None) -> None:
    """Watches the lock of a run in a separate thread.

    Args:
        run: the run's folder.
        token: the token of the driver's lock; None where no driver holds one, and nothing is watched.
    """
    if token is not None:
        threading.Thread(target=_watch, args=(run, token), name="driver-watch", daemon=True).start()


def _watch(run: Store, token: str) -> None:
    pause = threading.Event()
    witness = Witness()
    while not pause.wait(_EVERY):
        try:
            holder = read_holder(run)
        except RunError:  # the store may fail for a moment
            continue
        if holder is None or holder.get("token") != token or witness.is_alive(holder) is False:
            log.error("the driver of this run is gone: this rank stops")
            os._exit(70)
