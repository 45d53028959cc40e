"""docs/python_api.md and the names that the package exports."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import cxr_spark
from cxr_spark.commands.main import parse
from cxr_spark.evaluation.result import EvaluateResult
from cxr_spark.explanation.job import ExplainResult
from cxr_spark.exploration.job import ExploreResult
from cxr_spark.preparation.job import PrepareResult
from cxr_spark.scoring.job import ScoreResult
from cxr_spark.training.cross_validation.results import CrossValidationResult
from cxr_spark.training.job import TrainResult
from cxr_spark.training.range_test.job import RangeTestResult

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "python_api.md").read_text(encoding="utf-8")
JOBS = ("prepare", "train", "score", "evaluate", "explore", "explain")
LEAST = {
    "prepare": ["--out", "o"],
    "train": ["--data", "d", "--out", "o"],
    "score": ["--data", "d", "--model", "m", "--out", "o"],
    "evaluate": ["--predictions", "p", "--out", "o"],
    "explore": ["--data", "d", "--out", "o"],
    "explain": ["--data", "d", "--model", "m", "--out", "o"],
}


RESULTS = {
    "prepare": PrepareResult, "train": TrainResult, "train(folds=5)": CrossValidationResult,
    "train(find_rate=100)": RangeTestResult, "score": ScoreResult, "evaluate": EvaluateResult,
    "explore": ExploreResult, "explain": ExplainResult,
}  # fmt: skip


def test_the_page_lists_every_attribute_of_the_results():
    table = dict(re.findall(r"^  \| `([^`]+)` \| (.+) \|$", PAGE, re.MULTILINE))
    listed = {function: set(re.findall(r"`(\w+)`", attributes)) for function, attributes in table.items()}
    own = {function: set(result.model_fields) - {"out"} for function, result in RESULTS.items()}
    own["train(folds=5)"].add("models")  # a property
    assert listed == own


def test_the_page_lists_every_public_name():
    listed = set(re.findall(r"`(\w+)`", "".join(line for line in PAGE.splitlines() if line.startswith("| `"))))
    assert listed == set(cxr_spark.__all__) - {"__version__"}


@pytest.mark.parametrize("name", cxr_spark.__all__)
def test_every_public_name_is_there_and_described(name):
    value = getattr(cxr_spark, name)
    assert name == "__version__" or inspect.getdoc(value)
    assert name in dir(cxr_spark)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="nosuch"):
        cxr_spark.nosuch  # noqa: B018


def test_the_import_loads_neither_spark_nor_torch():
    code = "import sys, cxr_spark; print([m for m in ('pyspark', 'torch', 'pandas', 'cv2') if m in sys.modules])"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert told == "[]\n"


def test_functions_stay_functions_when_their_packages_are_imported():
    """`cxr_spark.explain` and the like must not become modules, whatever is imported first."""
    code = (
        "import cxr_spark.explanation.job, cxr_spark.recipes.job, cxr_spark.commands.prepare, cxr_spark, types;"
        "print([n for n in cxr_spark.__all__ if isinstance(getattr(cxr_spark, n), types.ModuleType)])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert told == "[]\n"


@pytest.mark.parametrize("name", JOBS)
def test_a_function_has_the_options_of_its_command(name):
    options = {o for o in vars(parse([name, *LEAST[name]])) if o not in ("command", "module", "spark_conf")}
    options -= {"set", "master", "spark", "debug"}  # the session is there, and settings come as dicts
    if name == "evaluate":
        options = {*options, "logits"} - {"scores"}
    arguments = set(inspect.signature(getattr(cxr_spark, name)).parameters)
    assert options <= arguments
    assert arguments - options <= {"prepare", "explore", "train", "model", "score", "evaluate", "explain"}
