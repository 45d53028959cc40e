"""Whether packages are installed that a part of the program needs: nodes that only prepare images need no torch."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence

from cxr_spark.errors import UsageError

#: The packages that run networks by torch.
TORCH = ("torch", "torchvision")
#: The names of modules that are called otherwise than their package.
_MODULES = {"scikit-learn": "sklearn"}


def missing(packages: Sequence[str]) -> list[str]:
    """Returns which of some packages are not installed. None is imported."""
    return [name for name in packages if importlib.util.find_spec(_MODULES.get(name, name)) is None]


def check_packages(user: str, packages: Sequence[str], extra: str, otherwise: str = "") -> None:
    """Checks, without importing them, that packages are installed.

    Args:
        user: what needs them, as the message begins.
        packages: their names.
        extra: the extra of this program's own package that installs them.
        otherwise: what else the user can do, as the message ends.

    Raises:
        UsageError: one is missing; the message says how to install it.
    """
    if gone := missing(packages):
        raise UsageError(
            f"{user} needs {' and '.join(gone)}, not installed in this environment: "
            f"pip install 'cxr-spark[{extra}]'{otherwise}"
        )


def check_torch(user: str) -> None:
    """Checks, without importing them, that torch and torchvision are installed.

    Args:
        user: the command or function that needs them, as the message quotes it.

    Raises:
        UsageError: one is missing; the message says how to install it.
    """
    check_packages(f"`{user}`", TORCH, "torch")


def check_calibration(method: str) -> None:
    """Checks, without importing it, that scikit-learn is installed where probabilities are calibrated by it.

    Args:
        method: the setting `evaluate.calibration`.

    Raises:
        UsageError: it is missing; the message says how to install it.
    """
    if method == "isotonic":
        otherwise = ", or say calibration=temperature"
        check_packages("evaluate.calibration=isotonic", ("scikit-learn",), "calibration", otherwise)


def check_mlflow(uri: str) -> None:
    """Checks, without importing it, that MLflow's client is installed where a training is tracked.

    Args:
        uri: the setting `train.mlflow.uri`, as the message quotes it.

    Raises:
        UsageError: it is missing; the message says how to install it.
    """
    check_packages(f"train.mlflow.uri={uri}", ("mlflow",), "mlflow", ", or leave train.mlflow out")
