"""The errors that cxr_spark raises, each with the exit status of a job that ends with it.

A message is one line. It quotes the value at fault, says what was expected and what to do about it.
"""

from __future__ import annotations


class CxrError(Exception):
    """Base of every error that cxr_spark raises on purpose.

    Attributes:
        exit_status: the exit status of a job that this error ends.
    """

    exit_status = 4


class UsageError(CxrError):
    """A command line, a setting or an environment cannot work. It is found before any work is done."""

    exit_status = 2


class ConfigError(UsageError):
    """A setting is unknown, has the wrong type, is out of range, or contradicts another one."""


class DataError(CxrError):
    """Input is not what it should be: labels, images, prepared data, predictions or weights."""

    exit_status = 3


class RunError(CxrError):
    """Work with good input failed, because of a lost worker, a full disk or a loss that is not finite."""

    exit_status = 4


class StorageAwayError(RunError):
    """Storage cannot be reached at all, so nothing is known about the file that was asked for."""


class DivergedError(RunError):
    """The loss of a training is not finite. Starting the training again would only repeat it."""

    @classmethod
    def in_step(cls, epoch: int, step: int, rate: float) -> DivergedError:
        """Returns the error of one step.

        Args:
            epoch: the number of the epoch, from 0.
            step: the number of the step in the epoch, from 0.
            rate: the learning rate of that step.
        """
        return cls(
            f"the loss is not finite in epoch {epoch + 1}, step {step + 1}, at learning rate {rate:g}: lower "
            "train.learning_rate, lengthen train.schedule.warmup_epochs, or set train.precision=fp32"
        )


def error_class(name: object) -> type[CxrError]:
    """Returns the error class of a name, as a task of Spark reports it or a rank writes it into a file.

    Args:
        name: the name of the class.

    Returns:
        The class of this module with that name; `RunError` where there is none.

    Example:
        >>> error_class("DataError").exit_status
        3
        >>> error_class("SystemExit").__name__
        'RunError'
    """
    kind = globals().get(str(name))
    return kind if isinstance(kind, type) and issubclass(kind, CxrError) else RunError
