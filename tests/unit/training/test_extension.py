"""Which finished trainings can be gone on with, and the end that is set anew in their checkpoints."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from cxr_spark.config import TrainSettings, load_settings
from cxr_spark.errors import ConfigError, UsageError
from cxr_spark.storage.store import Store
from cxr_spark.tables.prepared import PreparedDataset
from cxr_spark.training.checkpoints import LAST, Checkpoint, Checkpoints, Progress
from cxr_spark.training.extension import extends, set_end, steps_digest
from cxr_spark.training.start import fingerprint
from tests.support.prepared_sets import write_prepared
from tests.support.tiny_training import tiny_spec, train_tiny

KINDS = ("constant", "plateau", "cosine", "one_cycle")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_prepared(tmp_path_factory.mktemp("data") / "prepared", {"train": 20, "val": 8}, masked=0.1)


@pytest.fixture(scope="module")
def asked(data):
    """The fingerprint of a training of some settings."""
    return lambda *changes: fingerprint(load_settings(None, list(changes)), PreparedDataset.open(str(data)))


def without_times(history):
    return [{k: v for k, v in entry.items() if k not in ("seconds", "images_per_second")} for entry in history]


@pytest.mark.parametrize("kind", ["constant", "plateau"])
@pytest.mark.parametrize("ema_decay", [0.0, 0.9])
def test_two_epochs_and_two_more_are_four_to_the_last_bit(data, tmp_path, kind, ema_decay):
    train = {"schedule": {"kind": kind, "patience": 0}, "global_batch": 5, "ema_decay": ema_decay}
    whole = train_tiny(tiny_spec(data, tmp_path / "whole", epochs=4, normed=True, **train))
    short = train_tiny(tiny_spec(data, tmp_path / "run", epochs=2, normed=True, **train))
    assert (short.progress.epoch, short.progress.finished) == (2, True)
    spec = tiny_spec(data, tmp_path / "run", epochs=4, normed=True, **train)
    set_end(Checkpoints(spec.checkpoints), spec.train)
    longer = train_tiny(spec)
    assert longer.progress.finished
    assert without_times(longer.progress.history) == without_times(whole.progress.history)
    for part in ("network", "optimizer", "average"):
        ours, theirs = getattr(longer, part), getattr(whole, part)
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    saved = Checkpoints(tiny_spec(data, tmp_path / "whole").checkpoints)
    for role in ("best_auc", "best_loss"):
        assert Checkpoints(spec.checkpoints).load(role).progress.epoch == saved.load(role).progress.epoch


@pytest.mark.parametrize("kind", KINDS)
def test_what_can_be_gone_on_with(asked, kind):
    of_kind = f"train.schedule={{kind: {kind}, warmup_epochs: 0}}"
    before = json.loads(json.dumps(asked(of_kind, "train.epochs=2")))
    assert extends(asked(of_kind, "train.epochs=2", "train.final_model=last"), before, "file:///run")
    longer = asked(of_kind, "train.epochs=3", "train.final_model=best_loss")
    if kind in ("constant", "plateau"):
        assert extends(longer, before, "file:///run")
        assert steps_digest(longer) == steps_digest(before)
    else:
        with pytest.raises(UsageError, match=rf"kind={kind} spreads the learning rate over all epochs.*another --out"):
            extends(longer, before, "file:///run")
        assert steps_digest(longer) != steps_digest(before)
    with pytest.raises(UsageError, match=r"of 2 epochs, and train\.epochs is 1: .* longer, not shorter"):
        extends(asked(of_kind, "train.epochs=1"), before, "file:///run")
    for other in ("train.seed=7", "train.early_stop={patience: 3}", "train.learning_rate=0.5"):
        assert not extends(asked(of_kind, "train.epochs=3", other), before, "file:///run")
        assert steps_digest(asked(of_kind, other)) != steps_digest(before)


@pytest.mark.parametrize("before", [{}, {"train": None}, {"train": {}}, {"train": {"epochs": None}}])
def test_a_mark_that_others_changed_is_nothing_to_go_on_with(asked, before):
    assert not extends(asked(), before, "file:///run")
    whole = asked()
    assert not extends(asked("train.epochs=3"), {**whole, "train": {**whole["train"], "epochs": None}}, "file:///run")


def _saved(folder: Path, **progress: object) -> Checkpoints:
    saved = Checkpoints(Store(str(folder)))
    history = tuple({"epoch": i + 1, "val_loss": 1.0 + i, "val_macro_auc": 0.5} for i in range(progress["epoch"]))
    saved.save(
        Checkpoint(Progress(global_step=9, history=history, **progress), {"a": torch.ones(2)}), (LAST, "best_auc")
    )
    return saved


def test_the_end_is_where_the_epochs_or_early_stop_say(tmp_path):
    saved = _saved(tmp_path, epoch=2, finished=True)
    set_end(saved, TrainSettings(epochs=3))
    assert not saved.load().progress.finished
    set_end(saved, TrainSettings(epochs=2))  # the same command as at first, after the other one was killed
    assert saved.load().progress.finished
    set_end(saved, TrainSettings(epochs=9, early_stop={"metric": "val_loss", "patience": 1}))
    assert saved.load().progress.finished
    assert saved.load("best_auc").progress.epoch == 2


@pytest.mark.parametrize(("step", "epochs"), [(0, 1), (3, 2)])
def test_less_than_what_is_done_is_refused(tmp_path, step, epochs):
    saved = _saved(tmp_path, epoch=2, step=step, finished=False)
    with pytest.raises(ConfigError, match=rf"train\.epochs is {epochs}: give that number or more"):
        set_end(saved, TrainSettings(epochs=epochs))
