"""An archive of Spark's classes, with which the JVM of a driver starts in half the processor time.

A JVM that runs a small Spark job loads and checks some fifteen thousand classes out of three hundred jars. Java can
keep the result in a file (a dynamic class data sharing archive, JEP 350) and map it into the next JVM. The archive
holds classes alone, no data and no settings, and Java itself ignores one that does not fit its version or the jars.

`make venv` makes the archive, and in other environments `python -m cxr_spark.runtime.class_archive` does. Without one
everything works as it did before.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from cxr_spark.errors import CxrError
from cxr_spark.runtime.java import ensure_java

#: Archives belong to the Python environment, as Spark's jars do.
_FOLDER = Path(sys.prefix, "var", "cxr_spark")
#: Java says nothing about an archive that does not fit; it starts without it.
_QUIET = "-Xlog:disable -Xlog:all=error:stderr"
#: The module whose session loads the classes.
_SESSION = "cxr_spark.runtime.class_archive_session"
#: The number of seconds that the archive may take; it takes about twenty.
_PATIENCE = 600


def archive_options(java_home: Path, spark_home: Path) -> list[str]:
    """Returns the options by which a JVM uses the archive; none where there is no whole one for this Java and Spark.

    Args:
        java_home: the folder of the Java that will run.
        spark_home: the folder that holds Spark's `jars/`.
    """
    for archive in _FOLDER.glob(f"{_name(java_home, spark_home)}-*.jsa"):
        # Java crashes on an archive that was cut short, so its length is part of its name.
        if archive.stem.endswith(f"-{archive.stat().st_size}"):
            return [f'-XX:SharedArchiveFile="{archive}" {_QUIET}']
    return []


def _name(java_home: Path, spark_home: Path) -> str:
    """Returns a name that changes with the Java, and with the names, sizes and times of Spark's jars."""
    digest = hashlib.sha256(f"{java_home.resolve()}".encode())
    release = java_home / "release"
    digest.update(release.read_bytes() if release.is_file() else b"")
    for jar in sorted((spark_home / "jars").glob("*.jar")):
        found = jar.stat()
        digest.update(f"\n{jar} {found.st_size} {found.st_mtime_ns}".encode())
    return f"spark-classes-{digest.hexdigest()[:16]}"


def make_archive() -> Path:
    """Makes the archive for the installed Spark and the Java that it will run on, and returns its path.

    A small session runs once in a process of its own, and its JVM writes the archive when it ends.

    Raises:
        UsageError: there is no Java that fits.
        CxrError: the archive could not be made, as with Java 8 and 11, which do not know how.
    """
    import pyspark

    java_home = ensure_java(pyspark.__version__)
    spark_home = Path(pyspark.__file__).parent
    name = _name(java_home, spark_home)
    _FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=_FOLDER) as folder:
        made = Path(folder, "classes.jsa")
        # Whatever the user set for his own Sparks would be part of the class path, and so of the archive.
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("SPARK_", "HADOOP_", "YARN_"))}
        run = subprocess.run(
            [sys.executable, "-m", _SESSION, folder],
            env={
                **kept,
                "PYSPARK_PYTHON": sys.executable,
                "SPARK_SUBMIT_OPTS": f'-XX:ArchiveClassesAtExit="{made}" {_QUIET}',
            },
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_PATIENCE,
        )
        if run.returncode != 0 or not made.is_file():
            last = (run.stderr or run.stdout).strip().splitlines()[-1:] or ["it wrote nothing"]
            raise CxrError(f"no archive of Spark's classes could be made by {java_home}: {last[0]}")
        return made.replace(_FOLDER / f"{name}-{made.stat().st_size}.jsa")


if __name__ == "__main__":
    try:
        print(make_archive())
    except (CxrError, subprocess.TimeoutExpired) as error:
        sys.exit(f"{error}")
