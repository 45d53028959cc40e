"""Whether packages are installed that a part of the program needs: nodes that only prepare images need no torch."""

from __future__ import annotations

import importlib.util

from cxr_spark.errors import UsageError

_PACKAGES = ("torch", "torchvision")


def check_torch(user: str) -> None:
    """Checks, without importing them, that torch and torchvision are installed.

    Args:
        user: the command or function that needs them, as the message quotes it.

    Raises:
        UsageError: one is missing; the message says how to install it.
    """
    missing = _missing_of_torch()
    if missing:
        raise UsageError(
            f"`{user}` needs {' and '.join(missing)}, not installed in this environment: pip install 'cxr-spark[torch]'"
        )


def check_openvino(user: str) -> None:
    """Checks, without importing it, that openvino is installed.

    Args:
        user: the command or function that needs it, as the message quotes it.

    Raises:
        UsageError: it is missing; the message says how to install it.
    """
    if importlib.util.find_spec("openvino") is None:
        raise UsageError(
            f"`{user}` with the engine openvino needs openvino, not installed in this environment: pip install "
            "'cxr-spark[openvino]'"
        )


def check_convertible(model: str, unusable: str | None = None) -> None:
    """Checks, without importing it, that torch is installed where a model's network has to be converted first.

    Args:
        model: the URI of the model folder.
        unusable: why the converted network that the folder holds cannot be used; None where it holds none of its
            weights.

    Raises:
        UsageError: it is missing.
    """
    if _missing_of_torch():
        found = "holds no converted network of its weights"
        if unusable is not None:
            found = f"holds a converted network that cannot be used ({unusable})"
        raise UsageError(
            f"--model {model} {found}, and converting one needs torch: score once with --engine "
            "openvino where torch is installed and the folder can be written, or pip install 'cxr-spark[torch]' here"
        )


def check_calibration(method: str) -> None:
    """Checks, without importing it, that scikit-learn is installed where probabilities are calibrated by it.

    Args:
        method: the setting `evaluate.calibration`.

    Raises:
        UsageError: it is missing; the message says how to install it.
    """
    if method == "isotonic" and importlib.util.find_spec("sklearn") is None:
        raise UsageError(
            "evaluate.calibration=isotonic needs scikit-learn, not installed in this environment: pip install "
            "'cxr-spark[calibration]', or say calibration=temperature"
        )


def check_mlflow(uri: str) -> None:
    """Checks, without importing it, that MLflow's client is installed where a training is tracked.

    Args:
        uri: the setting `train.mlflow.uri`, as the message quotes it.

    Raises:
        UsageError: it is missing; the message says how to install it.
    """
    if importlib.util.find_spec("mlflow") is None:
        raise UsageError(
            f"train.mlflow.uri={uri} needs mlflow, not installed in this environment: pip install "
            "'cxr-spark[mlflow]', or leave train.mlflow out"
        )


def _missing_of_torch() -> list[str]:
    return [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
