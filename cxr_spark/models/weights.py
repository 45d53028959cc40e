"""Pretrained weights in the one form that the program uses, wherever they came from.

All of them take ImageNet-mean BGR input: what other tools trained on something else is folded on import.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from cxr_spark.errors import DataError
from cxr_spark.models import tensors as tensor_files
from cxr_spark.models.architectures import build_empty
from cxr_spark.models.head import head_name
from cxr_spark.models.limits import HiddenWidths, Outputs
from cxr_spark.storage.typed_json import validated_json


class WeightsHeader(BaseModel):
    """What the header of a weights file says about its tensors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    architecture: str
    n_outputs: Outputs  # 0: the file that they are from had no classifier
    batch_norm_epsilon: float | None = Field(None, gt=0, lt=1)
    preprocessing: Literal["imagenet_bgr"] = "imagenet_bgr"
    source: str
    source_kind: Literal["torchvision", "keras_h5", "tfjs", "safetensors", "model"]
    source_sha256: str
    hidden: HiddenWidths = ()
    findings: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Weights:
    """The weights of a whole network, its head included.

    Attributes:
        header: the network that they are for, and the file that they are from.
        tensors: the `state_dict()` of `build(header.architecture, header.n_outputs)`.
    """

    header: WeightsHeader
    tensors: dict[str, Tensor]

    def to_bytes(self) -> bytes:
        """Returns the weights as a safetensors file; the same weights always give the same bytes."""
        return tensor_files.to_bytes(self.tensors, self.header.model_dump_json())

    @classmethod
    def from_bytes(cls, data: bytes, what: str) -> Weights:
        """Reads and checks a file of `to_bytes`.

        Raises:
            DataError: it is damaged, or is not such a file.
        """
        tensors, note = tensor_files.from_bytes(data, what)
        if note is None:
            raise DataError(
                f"{what} does not say what preprocessing its weights expect: make a file that does with "
                f"`cxr-spark import-weights {what} --architecture NAME --out FILE.safetensors`"
            )
        header = validated_json(WeightsHeader, note, f"{what}: its header is damaged")
        weights = cls(header, tensors)
        weights.check(what)
        return weights

    def check(self, what: str) -> None:
        """Makes sure that the tensors are those of the network that the header names.

        Raises:
            ConfigError: unknown architecture.
            DataError: they are not.
        """
        empty = build_empty(self.header.architecture, max(self.header.n_outputs, 1), hidden=self.header.hidden)
        expected = empty.state_dict()
        if self.header.n_outputs == 0:
            head = head_name(empty) + "."
            expected = OrderedDict((name, t) for name, t in expected.items() if not name.startswith(head))
        tensor_files.check(self.tensors, expected, what)
