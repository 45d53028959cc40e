"""The page of a training: what it says while the training runs and when it has ended."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest
from PIL import Image

from cxr_spark.training.live.page import REFRESH, State, render

HOSTILE = "<script>window.ran = 1</script>"
#: The macro AUC is best in epoch 2, the loss in epoch 1.
AUCS, LOSSES = (0.61, 0.703, 0.68), (0.2, 0.21, 0.25)


def history(epochs: int = 3) -> list[dict[str, Any]]:
    return [
        {
            "epoch": number + 1, "train_loss": 0.3, "val_loss": LOSSES[number], "val_macro_auc": AUCS[number],
            "val_micro_auc": 0.8, "val_accuracy": 0.9, "learning_rate": 1e-4, "images_per_second": 123.4,
            "seconds": 150.0,
        }
        for number in range(epochs)
    ]  # fmt: skip


def page(entries: list[dict[str, Any]], state: State, best: int | None = None, epochs: int = 5) -> str:
    best = len(entries) - 1 if best is None and entries else best
    return render(entries, [("Network", HOSTILE)], epochs=epochs, best=best, state=state)[0]


def test_a_running_training_is_read_anew_and_tells_what_is_left() -> None:
    html = page(history(), "running")
    assert f'<meta http-equiv="refresh" content="{REFRESH}">' in html
    assert "running, 3 of 5 epochs done, 5 min left" in html  # two epochs of 150 s


@pytest.mark.parametrize(
    ("state", "entries", "told"),
    [
        ("finished", history(), "finished after 3 of 5 epochs, by train.early_stop"),
        ("stopped", history(2), "stopped, 2 of 5 epochs done"),
        ("stopped", [], "stopped, 0 of 5 epochs done"),
    ],
)
def test_an_ended_training_stays_as_it_is(state: State, entries: list[dict[str, Any]], told: str) -> None:
    html = page(entries, state)
    assert told in html
    assert 'http-equiv="refresh"' not in html


@pytest.mark.parametrize("best", [1, 2, 3])
def test_the_epoch_that_becomes_the_model_is_marked_and_its_auc_is_shown(best: int) -> None:
    html = page(history(), "running", best - 1)
    marked = re.findall(r'<tr class="[^"]*marked">\s*<th scope="row">(\d+)</th>', html)
    assert marked == [str(best)]
    assert re.search(rf"<b>{AUCS[best - 1]:.3f}</b><span>validation images, epoch {best}</span>", html)


def test_every_text_is_escaped_and_nothing_is_loaded() -> None:
    html = page(history(), "finished")
    assert HOSTILE not in html
    assert "&lt;script&gt;window.ran" in html
    assert not re.findall(r'(?:src|href)="(?!#)[^"]*"', html)


def test_the_curves_are_a_picture_too() -> None:
    picture = render(history(), [], epochs=3, best=0, state="finished")[1]
    assert Image.open(io.BytesIO(picture)).format == "PNG"


def test_metrics_that_are_not_defined_are_left_empty() -> None:
    entries = [{**entry, "val_loss": None, "val_macro_auc": None, "val_accuracy": None} for entry in history()]
    assert "3 of 3 epochs" in page(entries, "finished", epochs=3)
