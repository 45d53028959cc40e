"""A finished run that is extended by the command."""

from __future__ import annotations

import json

from tests.support.prepared_sets import write_prepared
from tests.support.trainings import model_id, train


def test_a_finished_run_gets_more_epochs_and_another_model(tmp_path, capsys, spark):
    data = write_prepared(tmp_path / "prepared", {"train": 50, "val": 11}, masked=0.1)

    def run(name, *settings):
        return train(data, tmp_path / name, *(text for each in settings for text in ("--set", each)))

    assert run("whole", "train.epochs=3", "train.final_model=last") == 0
    assert run("run", "train.epochs=2", "train.final_model=last") == 0
    two = model_id(tmp_path / "run")
    assert run("run", "train.epochs=3", "train.final_model=last") == 0
    assert model_id(tmp_path / "run") == model_id(tmp_path / "whole") != two
    done = json.loads((tmp_path / "run" / "_done.json").read_text())
    assert (done["inputs"]["train"]["epochs"], done["summary"]["epoch"]) == (3, 3)
    assert len(json.loads((tmp_path / "run" / "history.json").read_text())) == 3

    assert run("run", "train.epochs=3", "train.final_model=best_loss") == 0
    losses = [entry["val_loss"] for entry in json.loads((tmp_path / "run" / "history.json").read_text())]
    metadata = json.loads((tmp_path / "run" / "model" / "metadata.json").read_text())
    assert metadata["metrics"]["epoch"] == 1 + losses.index(min(losses))
    capsys.readouterr()
    assert run("run", "train.epochs=2") == 2
    assert "a training can be made longer, not shorter" in capsys.readouterr().err
