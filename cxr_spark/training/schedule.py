"""The learning rate, and when to stop, as functions of the finished epochs: there is no state beside the history."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cxr_spark.config import EarlyStopSettings, ScheduleSettings, TrainSettings
from cxr_spark.training.checkpoints import BEST

#: The one-cycle policy with the values of torch's OneCycleLR: the fraction of all steps in which the rate
#: rises, its first value as a fraction of the peak, and its last value as a fraction of the first.
_RISE, _START, _END = 0.3, 1 / 25, 1e-4

History = Sequence[Mapping[str, Any]]


def higher_is_better(metric: str) -> bool:
    """Returns whether higher values of a metric are better."""
    return metric.endswith(("auc", "accuracy"))


def learning_rate(
    settings: ScheduleSettings, peak: float, history: History, step: int, steps_per_epoch: int, epochs: int
) -> float:
    """Returns the learning rate of a step.

    Args:
        settings: the schedule.
        peak: learning rate at the end of the warm-up.
        history: the finished epochs.
        step: number of steps done since the training began, in all epochs.
        steps_per_epoch: number of steps of an epoch.
        epochs: number of epochs of the whole training.
    """
    warmup_steps = round(settings.warmup_epochs * steps_per_epoch)
    if step < warmup_steps:
        return settings.warmup_start + (peak - settings.warmup_start) * step / warmup_steps
    if settings.kind == "plateau":
        warm = math.ceil(settings.warmup_epochs)
        drops = _plateaus(settings, [entry[settings.metric] for entry in history[warm:]])
        return max(peak * settings.factor**drops, min(settings.min_rate, peak))
    if settings.kind == "cosine":
        total = max(1, epochs * steps_per_epoch - warmup_steps)
        done = min(1.0, (step - warmup_steps) / total)
        return _half_cosine(peak, settings.min_rate, done)
    if settings.kind == "one_cycle":
        return _one_cycle(peak, step, epochs * steps_per_epoch)
    return peak


def _one_cycle(peak: float, step: int, steps: int) -> float:
    """Returns the rate of the one-cycle policy (Smith and Topin 2017), up and down by half a cosine each.

    It is torch's `OneCycleLR` with its defaults; the momentum stays as it is.
    """
    top, last = _RISE * steps - 1, steps - 1
    start = peak * _START
    if step <= top:
        return _half_cosine(start, peak, step / top)
    return _half_cosine(peak, start * _END, min(1.0, (step - top) / (last - top)))


def _half_cosine(start: float, end: float, done: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * done)) / 2


def _plateaus(settings: ScheduleSettings, values: Sequence[float | None]) -> int:
    """Counts how often a metric stopped improving for more than `patience` epochs.

    A metric that is not defined on the validation images cannot improve, so it is no plateau either.
    """
    bad = drops = 0
    for improved in _improvements(values, settings.min_delta, higher_is_better(settings.metric)):
        bad = 0 if improved else bad + 1
        if bad > settings.patience:
            drops, bad = drops + 1, 0
    return drops


def should_stop(settings: EarlyStopSettings, history: History) -> bool:
    """Returns whether all targets are reached, or the metric has not improved for `patience` epochs.

    A metric that is not defined on the validation images cannot improve, so it ends no training.
    """
    if settings.targets and all(_reaches(history[-1][m], target, m) for m, target in settings.targets.items()):
        return True
    if settings.patience == 0:
        return False
    values = [entry[settings.metric] for entry in history]
    bad = 0
    for improved in _improvements(values, settings.min_delta, higher_is_better(settings.metric)):
        bad = 0 if improved else bad + 1
    return bad >= settings.patience


def undefined_metrics(settings: TrainSettings, entry: Mapping[str, Any]) -> list[str]:
    """Tells which settings watch a metric that is not defined on the validation images, and what that means.

    Args:
        settings: how to train.
        entry: one epoch of the history. The labels alone decide which metrics are defined, so any epoch will do.

    Returns:
        One sentence a setting.
    """
    watched: list[tuple[str, str, str]] = []
    if settings.schedule.kind == "plateau":
        watched.append((settings.schedule.metric, "train.schedule.metric", "the learning rate is never lowered"))
    stop = settings.early_stop
    if stop.patience:
        watched.append((stop.metric, "train.early_stop.metric", "train.early_stop.patience is ignored"))
    watched += [(metric, "train.early_stop.targets", "these targets are never reached") for metric in stop.targets]
    if settings.final_model in BEST:
        watched.append((BEST[settings.final_model], "train.final_model", "the last epoch becomes the model"))
    return [
        f"{metric} is not defined on the validation images (there are none, or the findings have one class only), and "
        f"{setting} watches it: {consequence}"
        for metric, setting, consequence in watched
        if entry[metric] is None
    ]


def _reaches(value: float | None, target: float, metric: str) -> bool:
    return value is not None and (value >= target if higher_is_better(metric) else value <= target)


def is_best(metric: str, history: History) -> bool:
    """Returns whether the last epoch is the best so far.

    Of epochs that are equal in the metric the one with the lower validation loss is the best, and of those that are
    equal in it, too, the first.
    """
    best: Mapping[str, Any] | None = None
    for entry in history[:-1]:
        if _beats(entry, best, metric):
            best = entry
    return _beats(history[-1], best, metric)


def best_place(metric: str | None, history: History) -> int | None:
    """Returns the place, from 0, of the epoch that becomes the model; None before the first epoch has ended.

    Args:
        metric: the metric that decides; None for the last epoch, which also decides where the metric is never defined.
        history: the finished epochs.
    """
    places = range(len(history))
    best = [place for place in places if metric is not None and is_best(metric, history[: place + 1])]
    return max(best, default=len(history) - 1 if history else None)


def _beats(entry: Mapping[str, Any], best: Mapping[str, Any] | None, metric: str) -> bool:
    """Returns whether an epoch is better than the best one before it."""
    value, before = entry[metric], None if best is None else best[metric]
    if best is None or value is None or value != before:
        return _improves(value, before, 0.0, higher_is_better(metric))
    return _improves(entry.get("val_loss"), best.get("val_loss"), 0.0, higher=False)


def _improvements(values: Sequence[float | None], min_delta: float, higher: bool) -> Iterator[bool]:
    """Yields for each epoch whether its value is the best so far, from the first epoch on in which it is defined."""
    best: float | None = None
    for value in values:
        if value is None and best is None:  # never defined so far: it tells nothing of progress
            continue
        improved = _improves(value, best, min_delta, higher)
        best = value if improved else best
        yield improved


def _improves(value: float | None, best: float | None, min_delta: float, higher: bool) -> bool:
    if value is None:  # an AUC is not defined where a split has one class only
        return False
    if best is None:
        return True
    return value > best + min_delta if higher else value < best - min_delta
