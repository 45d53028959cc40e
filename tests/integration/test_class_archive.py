"""The archive of Spark's classes that `make venv` made is what a session starts from."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pyspark
import pytest

from cxr_spark.runtime.class_archive import archive_options
from cxr_spark.runtime.java import ensure_java

SESSION = """
import sys
from cxr_spark.runtime.session import session
options = f"-Xlog:class+load:file={sys.argv[1]}"
print(session("test", conf={"spark.driver.defaultJavaOptions": options}).range(1000).selectExpr("sum(id)").first()[0])
"""


def test_a_session_takes_most_classes_of_spark_from_the_archive(tmp_path: Path) -> None:
    ensure_java(pyspark.__version__)
    if not archive_options(Path(os.environ["JAVA_HOME"]), Path(pyspark.__file__).parent):
        pytest.skip("no archive of Spark's classes: `python -m cxr_spark.runtime.class_archive` makes it")
    told = tmp_path / "classes.txt"
    done = subprocess.run([sys.executable, "-c", SESSION, told], capture_output=True, text=True, timeout=300)
    assert done.stdout.strip() == "499500", done.stderr
    # Hidden classes, such as those of lambdas, are made while Java runs; their names have an address behind a slash.
    sources = re.findall(r"(?m) (org\.apache\.spark\.[^\s/]+) source: (.+)$", told.read_text())
    shared = [name for name, source in sources if source.startswith("shared objects file (top)")]
    assert len(shared) > 1000
    assert len(shared) > 0.9 * len(sources)
