"""The errors that cxr_spark raises, each with the exit status of a job that ends with it.

A message is one line. It quotes the value at fault, says what was expected and what to do about it.
"""

from __future__ import annotations


class CxrError(Exception):
    """Base of every error that cxr_spark raises on purpose.

    Attributes:
        exit_status: what a job exits with when this error ends it.
    """

    exit_status = 4


class UsageError(CxrError):
    """A command line, a setting or an environment that cannot work; found before any work is done."""

    exit_status = 2


class ConfigError(UsageError):
    """A setting that is unknown, of the wrong type, out of range, or at odds with another one."""


class DataError(CxrError):
    """Input that is not what it should be: labels, images, prepared data, predictions, weights."""

    exit_status = 3


class RunError(CxrError):
    """Work that began with good input and failed: a lost worker, a full disk, a loss that is not finite."""

    exit_status = 4


class StorageAwayError(RunError):
    """Storage that cannot be reached at all; it says nothing of the one file that was asked for."""


class DivergedError(RunError):
    """A training whose loss is not finite: to start it again would only repeat it."""

    @classmethod
    def in_step(cls, epoch: int, step: int, rate: float) -> DivergedError:
        """Returns the error of a step, both counted from 0, at a learning rate."""
        return cls(
            f"the loss is not finite in epoch {epoch + 1}, step {step + 1}, at learning rate {rate:g}: lower "
            "train.learning_rate, lengthen train.schedule.warmup_epochs, or set train.precision=fp32"
        )
