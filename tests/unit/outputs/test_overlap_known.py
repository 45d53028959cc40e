"""Every setting and option that may hold the path of an input is known to the check of overlaps."""

from __future__ import annotations

import argparse
import importlib

import pytest

from cxr_spark.commands.main import COMMANDS
from cxr_spark.config import Settings
from cxr_spark.outputs.overlap import INPUT_OPTIONS, INPUT_SETTINGS
from tests.support.setting_fields import leaves, takes_free_text
from tests.unit.outputs.test_overlap import RUNS

#: Settings and options of texts that are not paths of inputs: names, choices, numbers, and the outputs themselves.
NOT_INPUTS = {
    "evaluate.index_column",
    "evaluate.prob_prefix",
    *("prepare.positive_class", "prepare.sample", "model.architecture", "train.class_weights", "train.augmentations"),
    *("score.split", "explain.finding", "explain.layers", "model.freeze", "prepare.uncertain", "pipeline.spark"),
    "pipeline.out",
    *("train.mlflow.experiment", "train.mlflow.run_name"),
    *(f"prepare.{name}_column" for name in ("image", "patient", "split", "view", "sex", "age", "findings")),
    *("prepare.finding_columns", "prepare.findings_separator", "prepare.patient_pattern", "score.average"),
    *(f"--{name}-column" for name in ("image", "patient", "split", "view", "sex", "age", "findings")),
    *("--finding-columns", "--findings-separator", "--patient-pattern", "--average", "--tta", "--calibrate"),
    *("--out", "--dataset", "--split", "--resize", "--image-index", "--finding", "--layers", "--only", "--task"),
    *("--set", "--master", "--spark", "--architecture", "--backend", "--seed", "--size", "--batch", "--limit"),
    *("--val-fraction", "--test-fraction", "--max-bad-fraction", "--box-side", "--threshold", "--replicates"),
    *("--grey-range", "--mean", "--std", "--calibration", "--method", "--sanity"),
    *("--workers", "--input-size", "source", "--index-column", "--prob-prefix"),
    *("--format", "--columns", "--operating-point", "--pictures", "--precision", "--engine"),
    "uri",
}


def test_every_setting_that_could_be_a_path_is_known() -> None:
    """A new setting of a text must be named: as an input, which the jobs then check, or as what it is."""
    texts = {name for name, annotation in leaves(Settings) if takes_free_text(annotation)}
    assert texts - set(INPUT_SETTINGS) - NOT_INPUTS == set()
    assert set(INPUT_SETTINGS) <= texts
    tested = " ".join(text for _, options, _ in RUNS for text in options)
    for name in INPUT_SETTINGS:
        assert f"{name}=" in tested, f"no run of test_overlap tests {name}"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_that_could_be_a_path_is_known(command: str) -> None:
    parser = argparse.ArgumentParser()
    importlib.import_module(f"cxr_spark.commands.{command.replace('-', '_')}").add_arguments(parser)
    for action in parser._actions:
        name = action.option_strings[0] if action.option_strings else action.dest
        if action.nargs == 0 or action.type is int or action.choices:
            continue
        assert name in INPUT_OPTIONS or name in NOT_INPUTS, f"is {command} {name} an input?"
        if name in INPUT_OPTIONS and name != "--config":
            assert any(job == command and name in options for job, options, _ in RUNS), f"no run tests {command} {name}"
