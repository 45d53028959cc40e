"""Keeps other users of the machine out of the temporary files of a Spark that this process starts.

Spark makes its local folders as the user's umask says, so with the usual one everybody may read what it spills: labels,
names of images, patients' numbers. Files that Python makes by `tempfile` are private by themselves.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from cxr_spark.errors import UsageError

log = logging.getLogger(__name__)

#: The variable by which Spark, its Python workers and the ranks of a training find their local folders. It wins over
#: the setting `spark.local.dir`, and unlike that it does not go to the executors of a cluster.
LOCAL_DIRS = "SPARK_LOCAL_DIRS"
_PREFIX = "cxr-spark-"
#: Seconds that a JVM may take to end and to delete its files.
_PATIENCE = 10.0


def keep_temporary_files_private(conf: Mapping[str, str]) -> str:
    """Gives the JVM that this process starts next folders for temporary files that only this user can look into.

    There is a new folder, with mode 0700, in each one that the user named, so whatever is made below it is out of the
    reach of others even when the job is killed. The folders are deleted when this process ends by itself.

    Args:
        conf: Spark settings as the JVM will find them; `spark.local.dir` is read. `SPARK_LOCAL_DIRS` wins over it, and
            where neither is set the system's temporary folder (`TMPDIR`) is taken.

    Returns:
        A Java option by which the JVM puts its own temporary files into the first folder.

    Raises:
        UsageError: a file can be written in none of the folders.
    """
    source = LOCAL_DIRS if os.environ.get(LOCAL_DIRS) else "spark.local.dir"
    named = os.environ.get(LOCAL_DIRS) or conf.get("spark.local.dir") or tempfile.gettempdir()
    folders = [folder for text in named.split(",") if text.strip() for folder in _make(text.strip(), source)]
    if not folders:
        raise UsageError(f"{source} {named}: expected folders on disks of this machine that can be written to")
    os.environ[LOCAL_DIRS] = ",".join(folders)
    atexit.register(_delete, folders, os.getpid())
    return f'-Djava.io.tmpdir="{folders[0]}"'


def _make(parent: str, source: str) -> Sequence[str]:
    """Makes a private folder in another one. One of several disks may be broken; Spark goes on without it, too."""
    if "://" in parent:
        raise UsageError(f"{source} names {parent}: expected folders on disks of this machine, such as /data1/tmp")
    try:
        Path(parent).mkdir(mode=0o700, parents=True, exist_ok=True)
        return [tempfile.mkdtemp(prefix=_PREFIX, dir=Path(parent).absolute())]
    except OSError as error:
        log.warning(
            "%s names %s, which is not used: %s; name a folder that can be written to", source, parent, error.strerror
        )
        return []


def _delete(folders: Sequence[str], owner: int) -> None:
    """Ends the JVM, which deletes its own files, and deletes the folders; children that were forked do nothing."""
    if os.getpid() != owner:
        return
    _end_jvm()
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def _end_jvm() -> None:
    """Ends the JVM as the end of this process would: it reads its standard input until that is closed."""
    if "pyspark" not in sys.modules:
        return
    from pyspark import SparkContext

    process: subprocess.Popen[bytes] | None = getattr(SparkContext._gateway, "proc", None)
    if process is None or process.stdin is None:
        return
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        process.stdin.close()
        process.wait(_PATIENCE)
