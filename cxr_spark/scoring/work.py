"""What there is to score or explain, of prepared data or of raw images, and what identifies it. No Spark."""

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
from cxr_spark.models.folder import ModelMetadata
from cxr_spark.outputs.claim import digest
from cxr_spark.outputs.job import JobRun
from cxr_spark.scoring.plan import NAMINGS, Part, label_order, prepared_parts, raw_parts
from cxr_spark.tables.prepared import PreparedDataset
from cxr_spark.tables.schema import QUARANTINE

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Work:
    """What there is to do.

    Attributes:
        parts: of the work, one a task.
        set_aside: quarantine rows of images that are not even read.
        fingerprint: all that decides the result, beside the model.
        dataset: where they are prepared; None for raw images.
        labels: for each finding of the model its place among the dataset's labels.
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
        """How the prepared images were made square, where that is known."""
        found = self.dataset.manifest.get("resize") if self.dataset else None
        return found if found in MODES else None


def prepared_work(uri: str, split: str, metadata: ModelMetadata, check_files: bool = True) -> Work:
    """Plans the work on a split of a prepared dataset.

    Args:
        uri: of the dataset.
        split: a name of `schema.SPLITS`, several with commas between them, or `all`.
        metadata: of the model.
        check_files: whether each file is compared with its SHA-256 in the manifest when it is read.

    Raises:
        DataError: there is no such dataset, it has no images there, or no finding in common with the model.
    """
    dataset = PreparedDataset.open(uri, verify=check_files)
    labels = label_order(metadata.findings, dataset.findings, uri)
    unlabelled = [name for name, place in zip(metadata.findings, labels, strict=True) if place is None]
    if unlabelled:
        log.warning("the data have no labels of %s: not known in the predictions", ", ".join(unlabelled))
    made, wanted = dataset.manifest.get("resize"), metadata.preprocessing.resize
    if made not in (None, wanted):
        log.warning("the data were made square by %s, the model was trained on %s: expect worse AUCs", made, wanted)
    return Work(
        prepared_parts(dataset, split),
        QUARANTINE.empty_table(),
        {"data": uri, "split": split, "manifest": digest(dataset.manifest)},
        dataset=dataset,
        labels=labels,
    )


def raw_work(patterns: list[str], image_index: str, cores: int) -> Work:
    """Plans the work on raw images.

    Args:
        patterns: full URIs of folders or globs.
        image_index: what an image is called: a key of `plan.NAMINGS`.
        cores: tasks that run at the same time.

    Raises:
        DataError: there are no images.
    """
    found = find_images(patterns)
    log.info("found %d images and %d other files", len(found.files), found.ignored)
    parts, set_aside = raw_parts(found, NAMINGS[image_index], cores)
    listed = "".join(f"{file.uri}\0{file.size}\0{file.modified}\n" for file in found.files)
    hashed = hashlib.sha256(listed.encode("utf-8", "surrogateescape")).hexdigest()
    return Work(parts, set_aside, {"images": patterns, "image_index": image_index, "image_files": hashed})


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


def work_of(run: JobRun, settings: ScoreSettings | ExplainSettings, metadata: ModelMetadata) -> Work:
    """Returns the work on the prepared data or the raw images that a job was given; see `prepared_work`, `raw_work`."""
    data = run.uri("--data")
    if data is not None:
        return prepared_work(data, settings.split, metadata, settings.storage == "checked")
    return raw_work(list(run.uris["--images"]), settings.image_index, run.spark.sparkContext.defaultParallelism)
