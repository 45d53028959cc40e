"""Renders the page of a training: how far it is, its curves and a row for every epoch. No Spark and no torch."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from cxr_spark import __version__
from cxr_spark.reporting.numbers import count, three
from cxr_spark.reporting.page import environment
from cxr_spark.reporting.tables import Column, Row, Table
from cxr_spark.reporting.training_curves import training_curves
from cxr_spark.reporting.vector import themed

State = Literal["running", "finished", "stopped"]
#: Seconds after which a browser reads the page of a training that runs anew.
REFRESH = 15
_SPEED = Column("Images per second", "count", "images_per_second")
_COLUMNS = (
    Column("Epoch", "count", "epoch"),
    Column("Training loss", "three", "train_loss"),
    Column("Validation loss", "three", "val_loss"),
    Column("Macro AUC", "three", "val_macro_auc"),
    Column("Micro AUC", "three", "val_micro_auc"),
    Column("Accuracy", "three", "val_accuracy"),
    Column("Learning rate", "threshold", "learning_rate"),
    _SPEED,
    Column("Seconds", "count", "seconds"),
)


def render(
    history: Sequence[Mapping[str, Any]],
    facts: Sequence[tuple[str, str]],
    *,
    epochs: int,
    best: int | None,
    state: State,
) -> tuple[str, bytes]:
    """Renders the page of a training. Every value in it is escaped.

    Args:
        history: the finished epochs, as in `history.json`.
        facts: what the page says at its top, names and values.
        epochs: the number of epochs of the whole training.
        best: the place, from 0, of the epoch that becomes the model; None before the first epoch has ended.
        state: whether it runs, has come to its end, or has failed.

    Returns:
        The page as HTML, and its curves as PNG.
    """
    picture, vector = io.BytesIO(), io.BytesIO()
    training_curves(history, picture, best, vector)
    page = environment("cxr_spark.training.live").get_template("training.html.j2").render(
        title="Training",
        refresh=REFRESH if state == "running" else None,
        facts=[*facts, ("State", _state(state, history, epochs))],
        tiles=_tiles(history, best),
        curves=themed(vector.getvalue()),
        table=Table("epochs", _COLUMNS, _rows(history, best)),
        footer=f"cxr_spark {__version__}",
    )  # fmt: skip
    return page, picture.getvalue()


def _rows(history: Sequence[Mapping[str, Any]], best: int | None) -> list[Row]:
    """Returns a row for every epoch; the best one is marked."""
    return [
        Row(tuple(_cell(entry, column) for column in _COLUMNS), marked=place == best)
        for place, entry in enumerate(history)
    ]


def _cell(entry: Mapping[str, Any], column: Column) -> Any:
    value = entry.get(column.key)
    return round(value) if column.form == "count" and value is not None else value


def _tiles(history: Sequence[Mapping[str, Any]], best: int | None) -> list[tuple[str, str, str]]:
    """Returns name, number and remark of what the reader looks for first."""
    if best is None:
        return []
    chosen, last = history[best], history[-1]
    return [
        ("Macro AUC, best epoch", three(chosen.get("val_macro_auc")), f"validation images, epoch {chosen['epoch']}"),
        ("Validation loss", three(last.get("val_loss")), f"epoch {last['epoch']}"),
        ("Images per second", count(_cell(last, _SPEED)), "training, without validation"),
    ]


def _state(state: State, history: Sequence[Mapping[str, Any]], epochs: int) -> str:
    done = f"{len(history)} of {epochs} epochs"
    if state == "running" and history:
        left = (epochs - len(history)) * float(history[-1].get("seconds") or 0)
        return f"running, {done} done, {_duration(left)} left if the others take as long as the last one"
    if state == "finished" and len(history) < epochs:
        return f"finished after {done}, by train.early_stop"
    return f"{state}, {done} done"


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min"
