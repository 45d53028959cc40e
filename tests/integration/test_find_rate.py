"""`train --find-rate`: from prepared data to a suggested learning rate, on one rank and on two."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

import cxr_spark
from cxr_spark.errors import ConfigError, UsageError
from tests.support.prepared_sets import write_prepared
from tests.support.trainings import train

#: A network that learns noise by heart in a few steps.
LEARNS = ("--set", "model.architecture=googlenet", "--set", "model.input_size=64", "--set", "model.dropout=0")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_prepared(tmp_path_factory.mktemp("data") / "prepared", {"train": 50, "val": 11, "test": 5}, masked=0.1)


def test_a_rate_is_suggested_and_no_model_is_made(spark, data, tmp_path):
    out = tmp_path / "range"
    assert train(data, out, "--find-rate", "80", *LEARNS) == 0
    written = json.loads((out / "learning_rates.json").read_text())
    tried = written["tried"]
    np.testing.assert_allclose(
        [each["learning_rate"] for each in tried], np.geomspace(1e-7, 1, 80)[: len(tried)], rtol=1e-9
    )
    means = np.array([each["smoothed_loss"] for each in tried])
    first, around = len(means) // 10, len(means) // 20
    lowest = first + means[first:].argmin()
    assert means[lowest] < 0.9 * means[0]
    falls = [means[place - around] - means[place + around] for place in range(first, lowest - around)]
    assert written["suggested"] == pytest.approx(tried[first + int(np.argmax(falls))]["learning_rate"], rel=0.05)
    assert written["lowest_loss_at"] == tried[lowest]["learning_rate"]
    assert json.loads((out / "_done.json").read_text())["summary"]["suggested"] == written["suggested"]
    assert Image.open(out / "learning_rates.png").size[0] > 500
    shown = {path.name for path in out.rglob("*") if path.is_file() and not path.name.startswith("_")}
    assert shown == {"learning_rates.json", "learning_rates.png"}
    assert train(data, out) == 2  # a training needs a folder of its own


def test_two_ranks_try_the_same_rates(spark, data, tmp_path):
    found = []
    for workers in (1, 2):
        out = tmp_path / str(workers)
        assert train(data, out, "--find-rate", "10", "--workers", str(workers), "--set", "model.dropout=0") == 0
        found.append(json.loads((out / "learning_rates.json").read_text())["tried"])
    first = [each[0]["loss"] for each in found]  # of the same network and the same ten images
    assert first[0] == pytest.approx(first[1], rel=0.2)  # each rank has batch norms of its own five
    for tried in found:  # the last rates may make the loss diverge
        assert len(tried) >= 7
        rates = [each["learning_rate"] for each in tried]
        np.testing.assert_allclose(rates, np.geomspace(1e-7, 1, 10)[: len(tried)], rtol=1e-9)


@pytest.mark.parametrize("steps", [9, 0, -1, True, 1.5])
def test_a_number_of_steps_that_cannot_be_is_refused(steps, tmp_path):
    with pytest.raises(ConfigError, match=f"--find-rate {steps}: expected a number of steps from 10"):
        cxr_spark.train(data=str(tmp_path), out=str(tmp_path / "out"), find_rate=steps)
    assert not (tmp_path / "out").exists()


def test_folds_and_range_test_exclude_each_other(tmp_path, capsys):
    with pytest.raises(UsageError, match="folds=3 and find_rate=20 exclude each other"):
        cxr_spark.train(data=str(tmp_path), out=str(tmp_path / "out"), folds=3, find_rate=20)
    assert train(tmp_path, tmp_path / "out", "--folds", "3", "--find-rate", "20") == 2
    assert "not allowed with" in capsys.readouterr().err
