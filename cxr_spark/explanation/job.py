"""The explain job on the driver: lets Spark's tasks draw pictures, and sums up how maps overlap with boxes."""

from __future__ import annotations

import difflib
import logging
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa

from cxr_spark.config import ExplainSettings, Settings
from cxr_spark.errors import DataError, UsageError
from cxr_spark.explanation.box_lists import Boxes, read_boxes
from cxr_spark.explanation.images import image_names
from cxr_spark.explanation.layers import check_layers
from cxr_spark.explanation.localization import BoxOverlap
from cxr_spark.explanation.names import METHODS
from cxr_spark.explanation.page import render
from cxr_spark.explanation.plan import ChosenPart, choose, with_listing
from cxr_spark.explanation.shown import MAX_LISTED, ShownImage
from cxr_spark.explanation.summary import localization
from cxr_spark.explanation.task import TOP, PartExplainer
from cxr_spark.imaging.dicom.gate import DicomGate
from cxr_spark.models.metadata import ModelMetadata
from cxr_spark.models.metadata_file import load_metadata
from cxr_spark.outputs.claim import Claim
from cxr_spark.outputs.job import Input, Job, JobRun, ReadyJob
from cxr_spark.outputs.results import JobResult
from cxr_spark.reporting.numbers import count
from cxr_spark.scoring.headers import doubts_of
from cxr_spark.scoring.plan import remedy_for_names
from cxr_spark.scoring.request import Request, check_source, request_of
from cxr_spark.scoring.running import run_image_parts
from cxr_spark.scoring.shipping import ship_model, threads_of_a_task
from cxr_spark.scoring.task import QUARANTINE_FOLDER, write_quarantine_part
from cxr_spark.storage.store import Store
from cxr_spark.tables.text import counted

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

log = logging.getLogger(__name__)

LOCALIZATION_NAME, PAGE_NAME = "localization.json", "index.html"


class ExplainResult(JobResult):
    """The result of the explain job.

    Attributes:
        report: full URI of the page that lists the pictures.
        model_id: SHA-256 of the model's weights.
        images: images that were explained.
        quarantined: images that could not be read, by reason.
        dicom_doubtful: DICOM images that were explained though they may be no frontal chest radiographs, by reason.
        boxes_met: the number of boxes of images that were explained; None where no boxes were given.
        pointing_game: fraction of the maps whose maximum lies in a box; None where it is not defined.
    """

    report: str
    model_id: str
    images: int
    quarantined: dict[str, int]
    dicom_doubtful: dict[str, int] | None = None
    boxes_met: int | None = None
    pointing_game: float | None = None


@dataclass(frozen=True)
class ExplainJob(Job[ExplainResult]):
    """Shows where in an image a model finds its evidence, and how well that agrees with radiologists' boxes.

    Attributes:
        settings: the settings of the group `explain`.
        model: model folder of the train job.
        out: folder of the pictures, one an image, of index.html and of localization.json.
        data: output of the prepare job; None for raw images.
        images: folders or globs of raw images; none with prepared data.
    """

    name: ClassVar[str] = "explain"
    result: ClassVar[type[JobResult]] = ExplainResult
    settings: ExplainSettings
    model: str
    out: str
    data: str | None = None
    images: tuple[str, ...] = ()

    @classmethod
    def from_options(
        cls,
        settings: Settings,
        *,
        model: str,
        out: str,
        data: str | None = None,
        images: Sequence[str] | str | None = None,
        **options: Any,
    ) -> ExplainJob:
        """Returns the job that options ask for; further ones are named as the setting of `explain` that they replace.

        Raises:
            UsageError: options that contradict each other.
            ConfigError: an option is out of range.
        """
        explain = settings.updated({f"explain.{name}": value for name, value in options.items()}).explain
        patterns = check_source(data, images, options.get("split"))
        if explain.only == "boxed" and not explain.boxes:
            raise UsageError("--only boxed chooses the images by --boxes: give the list")
        return cls(explain, model, out, data, patterns)

    def inputs(self) -> Mapping[str, Input]:
        """Returns images, model and boxes. The driver reads the model and the boxes."""
        return {
            "--data": Input.of(self.data),
            "--images": Input(self.images),
            "--model": Input.of(self.model, on_executors=False),
            "--boxes": Input.of(self.settings.boxes, on_executors=False),
        }

    def read_inputs(self, run: JobRun) -> ReadyJob[ExplainResult]:
        """Opens the model, reads the boxes, and lists the images."""
        settings = self.settings
        model_uri = run.needed_uri("--model")
        metadata = load_metadata(Store(model_uri))
        if settings.finding != TOP:
            _check_finding(settings.finding, metadata.findings)
        check_layers(metadata, settings.layers)
        boxes = read_boxes(run.uri("--boxes"), settings.box_side, metadata.findings)
        request = request_of(run, settings, metadata)
        excluded = {"batch", "split", "image_index", "boxes", "storage", *settings.at_default("dicom", "method")}
        if not self.images:
            excluded.add("dicom")
        fingerprint = {
            "model_id": metadata.model_id,
            **request.fingerprint,
            **settings.model_dump(mode="json", exclude=excluded),
            "boxes": boxes.digest,
        }

        def produce(claimed: Claim) -> ExplainResult:
            claimed.clear()
            return self._explain(run, claimed, metadata, request, boxes)

        return ReadyJob(fingerprint, produce)

    def _explain(
        self, run: JobRun, claimed: Claim, metadata: ModelMetadata, request: Request, boxes: Boxes
    ) -> ExplainResult:
        settings, store, used = self.settings, claimed.store, boxes.used
        data = request.dataset.store if request.dataset else None
        warnings: list[str] = []
        if used is not None:
            used, warnings = used.for_images([name for part in request.parts for name in image_names(part, data)])
        for line in warnings:
            log.warning("%s", line)
        only = used.by_image if used and settings.only == "boxed" else None
        chosen_parts = choose(request.parts, partial(image_names, data=data), only, settings.limit)
        model, _ = ship_model(run.spark, run.needed_uri("--model"), metadata)
        explainer = PartExplainer(
            out=store.uri,
            model=model,
            data=request.data,
            data_findings=request.dataset.findings if request.dataset else (),
            resize=request.resize or metadata.preprocessing.resize,
            finding=settings.finding,
            method=settings.method,
            layers=settings.layers,
            boxes=used.by_image if used else {},
            box_side=settings.box_side,
            threshold=settings.threshold,
            threads=threads_of_a_task(run.spark, len(chosen_parts)),
            batch=settings.batch,
            gate=DicomGate(**settings.dicom.model_dump()),
            foreign=claimed.foreign,
        )
        counts, overlaps, shown = explain(run.spark, chosen_parts, request.set_aside, explainer)
        about: dict[str, Any] = {"model_id": metadata.model_id, "method": settings.method, "boxes": boxes.uri}
        about |= {"threshold": settings.threshold, "warnings": warnings}
        found = localization(overlaps, boxes.listed, used, about)
        total = counts["images"]
        facts = list(self._facts(metadata, request, total))
        page = render(shown, found, facts, boxed=used is not None, total=total)
        store.write_bytes(PAGE_NAME, page.encode())
        store.write_json(LOCALIZATION_NAME, found)
        pooled = {"boxes_met": found["boxes_met"], "pointing_game": found["all"]["pointing_game"]}
        told = {**counts, **(pooled if boxes.listed is not None else {})}
        return ExplainResult(out=store.uri, report=store.uri_of(PAGE_NAME), model_id=metadata.model_id, **told)

    def _facts(self, metadata: ModelMetadata, request: Request, images: int) -> Iterator[tuple[str, str]]:
        yield "Model", f"{metadata.architecture}, {metadata.model_id[:12]}"
        yield "Images", request.data or ", ".join(self.images)
        yield "Explained", f"{count(images)} by {METHODS[self.settings.method]}"
        if self.settings.boxes:
            yield "Boxes", self.settings.boxes
        yield "Made", time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())


def _check_finding(name: str, findings: Sequence[str]) -> None:
    if name not in findings:
        near = difflib.get_close_matches(name, findings, n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise UsageError(f"--finding: unknown finding {name!r}{hint}: expected {TOP} or one of {', '.join(findings)}")


def explain(
    spark: SparkSession, chosen_parts: Sequence[ChosenPart], set_aside: pa.Table, explainer: PartExplainer
) -> tuple[dict[str, Any], list[BoxOverlap], list[ShownImage]]:
    """Writes the pictures of all images.

    Args:
        spark: the session.
        chosen_parts: the images to explain, one part for each task.
        set_aside: columns of `schema.QUARANTINE`: images that are refused for their names and never read.
        explainer: explains a part.

    Returns:
        The counts, `images` and `quarantined` by reason; how maps overlap with boxes; and what the first
        `MAX_LISTED` pictures show.

    Raises:
        DataError: not one image could be read; prepared data or the model are damaged.
        RunError: a file could not be written.
    """
    store = Store(explainer.out)
    quarantined: Counter[str] = Counter(set_aside["reason"].to_pylist())
    if set_aside.num_rows:
        write_quarantine_part(store, "names", set_aside)
    done = run_image_parts(spark, with_listing(chosen_parts), explainer, doing="explaining", done="explained")
    for part in done:
        quarantined.update(part.quarantined)
    images = sum(part.images for part in done)
    if images == 0:
        reasons = counted(dict(sorted(quarantined.items())))
        where = f"{store.uri_of(QUARANTINE_FOLDER)}{remedy_for_names(quarantined)}"
        raise DataError(f"none of the images can be read ({reasons}): see {where}")
    counts = {"images": images, "quarantined": dict(sorted(quarantined.items()))}
    doubts = doubts_of((part.doubts for part in done), "explain")
    counts |= {"dicom_doubtful": doubts} if doubts else {}
    shown = [image for part in done for image in part.shown][:MAX_LISTED]
    return counts, [overlap for part in done for overlap in part.overlaps], shown
