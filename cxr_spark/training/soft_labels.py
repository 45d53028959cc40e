"""Soft labels: the probabilities that other models give the training images, mixed into the labels. No Spark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, RootModel

from cxr_spark.config import TrainSettings
from cxr_spark.errors import DataError, RunError
from cxr_spark.outputs.claim import digest
from cxr_spark.outputs.done import read_done
from cxr_spark.scoring.task import FINDINGS_KEY
from cxr_spark.storage.store import NotJsonError, Store, resolve
from cxr_spark.storage.typed_json import validated_json

_COLUMNS = ["image_index", "probabilities"]


class _Findings(
    RootModel[Annotated[list[Annotated[str, Field(max_length=1000)]], Field(min_length=1, max_length=10_000)]]
):
    """The findings that the files of a score output name, in the order of the probabilities."""

    model_config = ConfigDict(strict=True)


@dataclass(frozen=True)
class Teacher:
    """A finished output of the score job whose probabilities are mixed into the labels.

    Attributes:
        uri: full URI of the output.
        sha256: SHA-256 of its mark of finished work, by which ranks know that it is what the driver checked.
    """

    uri: str
    sha256: str

    @classmethod
    def of(cls, train: TrainSettings, default_fs: str) -> Teacher | None:
        """Opens what `train.soft_labels` names; None where it names nothing.

        Raises:
            DataError: that is not a finished output of the score job.
        """
        return None if train.soft_labels is None else cls.open(resolve(train.soft_labels, default_fs))

    @classmethod
    def open(cls, uri: str) -> Teacher:
        """Opens an output of the score job.

        Raises:
            DataError: it is not a finished one.
        """
        try:
            done = read_done(Store(uri))
        except (FileNotFoundError, NotADirectoryError, NotJsonError):
            done = None
        if done is None or done.job != "score":
            raise DataError(
                f"train.soft_labels {uri!r} is not a finished output of the score job: score the training images "
                "first, with cxr-spark score --split train"
            )
        return cls(uri, digest(done.model_dump(mode="json")))

    def probabilities(self, names: Sequence[str], findings: Sequence[str]) -> NDArray[np.float32]:
        """Reads the teacher's probabilities for some images.

        Args:
            names: N image indices.
            findings: K findings, by whose names the columns are found.

        Returns:
            float32 (N, K), from 0 to 1.

        Raises:
            DataError: an image has no row, or several; a finding is not there; a row is damaged.
            RunError: the output was replaced since the driver checked it.
        """
        try:
            found = Teacher.open(self.uri)
        except DataError:
            found = None
        if found != self:
            raise RunError(f"train.soft_labels {self.uri} was replaced while the job ran: run the job again")
        store = Store(self.uri)
        files = [file.name for file in store.files(recursive=False) if file.name.endswith(".parquet")]
        parts = [self._read(store, name, findings) for name in files if not name.startswith(("_", "."))]
        known = np.concatenate([part[0] for part in parts] or [np.empty(0, object)])
        values = np.concatenate([part[1] for part in parts] or [np.empty((0, len(findings)), np.float32)])
        place = {name: i for i, name in enumerate(known.tolist())}
        missing = [name for name in names if name not in place]
        if missing:
            raise DataError(
                f"train.soft_labels {self.uri} has no row of {len(missing)} of {len(names)} training images, such as "
                f"{missing[0]!r}: score the training images of this prepared data, with --split train or all"
            )
        if len(place) < len(known):
            raise DataError(
                f"train.soft_labels {self.uri} has {len(known)} rows of {len(place)} images: expected one an image; "
                "score with all models at once, into an --out of its own"
            )
        return values[[place[name] for name in names]]

    def _read(self, store: Store, name: str, findings: Sequence[str]) -> tuple[NDArray[Any], NDArray[np.float32]]:
        uri = store.uri_of(name)
        try:
            table = pq.read_table(pa.BufferReader(store.read_bytes(name)), columns=_COLUMNS)
            told = (table.schema.metadata or {})[FINDINGS_KEY]
            given = validated_json(
                _Findings, told, f"train.soft_labels: {uri} does not say what its numbers are of"
            ).root
            flat = table["probabilities"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
            values = flat.astype(np.float32).reshape(len(table), len(given))
        except (pa.ArrowException, OSError, LookupError, ValueError, TypeError) as error:
            detail = " ".join(str(error).split())
            raise DataError(f"train.soft_labels: {uri} cannot be read ({detail}): score the images again") from None
        twice = next((finding for finding in given if given.count(finding) > 1), None)
        if twice is not None:
            raise DataError(f"train.soft_labels: {uri} names {twice!r} twice: expected each finding once; score again")
        lacking = [finding for finding in findings if finding not in given]
        if lacking:
            raise DataError(
                f"train.soft_labels {self.uri} has no probabilities of {', '.join(lacking)}: expected every finding of "
                "the prepared data; score with a model that was trained on them"
            )
        if not bool(((values >= 0) & (values <= 1)).all()):
            raise DataError(f"train.soft_labels: {uri} holds probabilities that are not from 0 to 1: score again")
        return table["image_index"].to_numpy(), values[:, [given.index(finding) for finding in findings]]


def soften(labels: NDArray[np.float32], probabilities: NDArray[np.float32], weight: float) -> NDArray[np.float32]:
    """Mixes labels with a teacher's probabilities. Labels that are not known stay so, and cost nothing.

    Args:
        labels: (N, K), 0 or 1; NaN where not known.
        probabilities: (N, K).
        weight: the weight of the probabilities, 0 to 1; with 0 the labels are as they were, bit for bit.
    """
    mixed: NDArray[np.float32] = np.float32(1 - weight) * labels + np.float32(weight) * probabilities
    return mixed
