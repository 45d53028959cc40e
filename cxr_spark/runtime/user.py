"""Who runs this process."""

from __future__ import annotations

import os
import pwd

from cxr_spark.errors import UsageError


def check_user() -> None:
    """Checks that the user has a name.

    Hadoop's client in the JVM and torch ask for it when they start. A container that is told to run as some number, as
    on OpenShift, has none, and what they then say does not tell why.

    Raises:
        UsageError: the user database has no entry for this process's user.
    """
    try:
        pwd.getpwuid(os.getuid())
    except KeyError:
        raise UsageError(
            f"user {os.getuid()} has no name on this machine, and neither Java's Hadoop nor torch starts without one: "
            "run as a user of /etc/passwd, or start the container by the entry point of this project's image"
        ) from None
