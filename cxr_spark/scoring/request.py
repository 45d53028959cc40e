"""The request of a score or explain job: which images of prepared data, or which raw images. No Spark."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from cxr_spark.config import ExplainSettings, ScoreSettings
from cxr_spark.errors import UsageError
from cxr_spark.imaging.listing import find_images
from cxr_spark.imaging.resize import MODES, ResizeMode
from cxr_spark.models.metadata import ModelMetadata
from cxr_spark.outputs.claim import digest
from cxr_spark.outputs.job import JobRun
from cxr_spark.scoring.plan import NAMINGS, Part, label_order, prepared_parts, raw_parts
from cxr_spark.tables.prepared import PreparedDataset
from cxr_spark.tables.schema import QUARANTINE

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Request:
    """What to score or to explain.

    Attributes:
        parts: the images, cut into one part for each task.
        set_aside: columns of `schema.QUARANTINE`: images that are refused for their names and never read.
        fingerprint: all that decides the result beside the model, as JSON values.
        dataset: the prepared dataset that the images are in; None for raw images.
        labels: for each finding of the model the position of its label in the dataset's label lists; None where the
            dataset has no such label.
    """

    parts: Sequence[Part]
    set_aside: pa.Table
    fingerprint: dict[str, Any]
    dataset: PreparedDataset | None = None
    labels: tuple[int | None, ...] = ()

    @property
    def data(self) -> str | None:
        """URI of the prepared dataset; None for raw images."""
        return self.dataset.store.uri if self.dataset else None

    @property
    def resize(self) -> ResizeMode | None:
        """How the prepared images were made square; None for raw images and where the manifest does not tell."""
        found = self.dataset.manifest.get("resize") if self.dataset else None
        return found if found in MODES else None


def prepared_request(uri: str, split: str, metadata: ModelMetadata, check_files: bool = True) -> Request:
    """Opens a prepared dataset and cuts a split of it into parts.

    Args:
        uri: the full URI of the dataset.
        split: a name of `schema.SPLITS`, several with commas between them, or `all`.
        metadata: the metadata of the model.
        check_files: whether each file is compared with its SHA-256 in the manifest when it is read.

    Raises:
        DataError: there is no such dataset, it has no images in the split, or it has no finding of the model.
    """
    dataset = PreparedDataset.open(uri, verify=check_files)
    labels = label_order(metadata.findings, dataset.findings, uri)
    unlabelled = [name for name, place in zip(metadata.findings, labels, strict=True) if place is None]
    if unlabelled:
        log.warning("the data have no labels of %s: not known in the predictions", ", ".join(unlabelled))
    made, wanted = dataset.manifest.get("resize"), metadata.preprocessing.resize
    if made not in (None, wanted):
        log.warning("the data were made square by %s, the model was trained on %s: expect worse AUCs", made, wanted)
    return Request(
        prepared_parts(dataset, split),
        QUARANTINE.empty_table(),
        {"data": uri, "split": split, "manifest": digest(dataset.manifest)},
        dataset=dataset,
        labels=labels,
    )


def raw_request(patterns: list[str], image_index: str, cores: int) -> Request:
    """Lists raw images and cuts them into parts.

    Args:
        patterns: full URIs of folders or globs.
        image_index: how an image is named: a key of `plan.NAMINGS`.
        cores: the number of tasks that run at the same time.

    Raises:
        DataError: there are no images.
    """
    found = find_images(patterns)
    log.info("found %d images and %d other files", len(found.files), found.ignored)
    parts, set_aside = raw_parts(found, NAMINGS[image_index], cores)
    listed = "".join(f"{file.uri}\0{file.size}\0{file.modified}\n" for file in found.files)
    hashed = hashlib.sha256(listed.encode("utf-8", "surrogateescape")).hexdigest()
    return Request(parts, set_aside, {"images": patterns, "image_index": image_index, "image_files": hashed})


def check_source(data: str | None, images: Sequence[str] | str | None, split: object) -> tuple[str, ...]:
    """Checks that a job has either prepared data or raw images, and returns the folders or globs of the latter.

    Raises:
        UsageError: it has neither or both, or a split of raw images.
    """
    patterns = (images,) if isinstance(images, str) else tuple(images or ())
    if (data is None) == (not patterns):
        raise UsageError("expected either --data (prepared data) or --images (raw images)")
    if patterns and split:
        raise UsageError("--split is for prepared data: give it with --data, or leave it out with --images")
    return patterns


def check_form(settings: ScoreSettings, incremental: bool, point: str | None) -> None:
    """Checks that the options of what is written go together.

    Args:
        settings: how to score.
        incremental: whether the scores are added to those of earlier runs.
        point: the operating point that the user names; None where the default stands.

    Raises:
        UsageError: they contradict each other.
    """
    if point is not None and settings.thresholds is None:
        raise UsageError(f"--operating-point {point} needs --thresholds: give the --out of an evaluation")
    if incremental and settings.format != "parquet":
        raise UsageError(
            f"--format {settings.format} is not for --incremental, which takes rows out of files again: leave it out; "
            "--columns findings gives each finding a column"
        )


def request_of(run: JobRun, settings: ScoreSettings | ExplainSettings, metadata: ModelMetadata) -> Request:
    """Returns the request for the prepared data or the raw images that a job was given.

    Raises:
        DataError: see `prepared_request` and `raw_request`.
    """
    data = run.uri("--data")
    if data is not None:
        return prepared_request(data, settings.split, metadata, settings.storage == "checked")
    return raw_request(list(run.uris["--images"]), settings.image_index, run.spark.sparkContext.defaultParallelism)
