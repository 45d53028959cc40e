"""What goes into an explained network and which of its findings is shown. No Spark."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from cxr_spark.augmentation.kernels import imagenet_bgr
from cxr_spark.datasets.findings import NO_FINDING
from cxr_spark.errors import UsageError
from cxr_spark.scoring.inputs import network_input
from cxr_spark.scoring.torch_engine import TorchModel

#: The value of `explain.finding` that means the most probable finding of each image.
TOP = "top"


def input_of(squares: Sequence[NDArray[np.uint8]], model: TorchModel) -> torch.Tensor:
    """Returns the network's input (N, 3, H, W), on the model's device, of N prepared squares, uint8 (S, S)."""
    seen = torch.from_numpy(network_input(np.stack(squares), model.metadata.preprocessing))
    return imagenet_bgr(seen.to(model.compute.device), torch.channels_last)


def shown_finding(probabilities: NDArray[np.float32], findings: Sequence[str], wanted: str) -> int:
    """Returns the number of the finding to show in an image.

    Args:
        probabilities: float32 (K,).
        findings: the K names.
        wanted: the name of a finding, or `TOP`. `No Finding` has no place in an image and is never the top one.
    """
    if wanted != TOP:
        return list(findings).index(wanted)
    order = np.argsort(-probabilities, kind="stable")
    return next((int(i) for i in order if findings[i] != NO_FINDING), int(order[0]))


def first_finding(
    image_index: str,
    probabilities: NDArray[np.float32],
    findings: Sequence[str],
    wanted: str,
    listed: Mapping[str, Sequence[str]],
) -> int:
    """Returns the number of the finding whose map an image is shown with first: the one it is listed with, if any.

    Args:
        image_index: the name of the image.
        probabilities: float32 (K,).
        findings: the K names.
        wanted: the name of a finding, or `TOP`, for images that are listed with none.
        listed: the findings that images are listed with, by the name of the image.
    """
    named = listed.get(image_index, ())
    return list(findings).index(named[0]) if named else shown_finding(probabilities, findings, wanted)


def check_finding(name: str, findings: Sequence[str]) -> None:
    """Checks the finding that is asked for.

    Raises:
        UsageError: the model does not know it.
    """
    if name != TOP and name not in findings:
        near = difflib.get_close_matches(name, findings, n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise UsageError(f"--finding: unknown finding {name!r}{hint}: expected {TOP} or one of {', '.join(findings)}")
