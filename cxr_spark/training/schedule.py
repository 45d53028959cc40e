"""The learning rate, and when to stop, as functions of what has been so far: no state beside the history."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from cxr_spark.config import EarlyStopSettings, ScheduleSettings

History = Sequence[Mapping[str, Any]]


def higher_is_better(metric: str) -> bool:
    """Whether a metric of the history improves upwards."""
    return metric.endswith(("auc", "accuracy"))


def learning_rate(
    settings: ScheduleSettings, peak: float, history: History, step: int, steps_per_epoch: int, epochs: int
) -> float:
    """Returns the learning rate of a step.

    Args:
        settings: the schedule.
        peak: rate at the end of the warm-up.
        history: the finished epochs.
        step: steps done since training began, in all epochs.
        steps_per_epoch: steps of an epoch.
        epochs: epochs of the whole training.
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
        return settings.min_rate + (peak - settings.min_rate) * (1 + math.cos(math.pi * done)) / 2
    return peak


def _plateaus(settings: ScheduleSettings, values: Sequence[float | None]) -> int:
    """Counts how often a metric stopped improving for more than `patience` epochs."""
    best: float | None = None
    bad = drops = 0
    for value in values:
        if _improves(value, best, settings.min_delta, higher_is_better(settings.metric)):
            best, bad = value, 0
        else:
            bad += 1
            if bad > settings.patience:
                drops, bad = drops + 1, 0
    return drops


def should_stop(settings: EarlyStopSettings, history: History) -> bool:
    """Whether all targets are reached, or the metric has not improved for `patience` epochs."""
    if settings.targets and all(_reaches(history[-1][m], target, m) for m, target in settings.targets.items()):
        return True
    if settings.patience == 0:
        return False
    best: float | None = None
    bad = 0
    for entry in history:
        if _improves(entry[settings.metric], best, settings.min_delta, higher_is_better(settings.metric)):
            best, bad = entry[settings.metric], 0
        else:
            bad += 1
    return bad >= settings.patience


def _reaches(value: float | None, target: float, metric: str) -> bool:
    return value is not None and (value >= target if higher_is_better(metric) else value <= target)


def is_best(metric: str, history: History) -> bool:
    """Whether the last epoch is the best so far; the first of equals is the best."""
    best: float | None = None
    for entry in history[:-1]:
        if _improves(entry[metric], best, 0.0, higher_is_better(metric)):
            best = entry[metric]
    return _improves(history[-1][metric], best, 0.0, higher_is_better(metric))


def _improves(value: float | None, best: float | None, min_delta: float, higher: bool) -> bool:
    if value is None:  # not defined, as an AUC is where a split has one class only
        return False
    if best is None:
        return True
    return value > best + min_delta if higher else value < best - min_delta
