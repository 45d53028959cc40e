"""The explain job on the driver: lets Spark's tasks draw pictures, and sums up how maps overlap with boxes."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from cxr_spark.config import ExplainSettings, Settings
from cxr_spark.errors import UsageError
from cxr_spark.explanation.box_lists import Boxes, read_boxes
from cxr_spark.explanation.boxes import BoxList
from cxr_spark.explanation.image_lists import ImageList, read_images_to_explain
from cxr_spark.explanation.images import ImageSource
from cxr_spark.explanation.layers import check_layers
from cxr_spark.explanation.network import check_finding
from cxr_spark.explanation.page import render
from cxr_spark.explanation.plan import NOT_LISTED, NOT_LISTED_WITH_BOX, ChosenPart, choose
from cxr_spark.explanation.running import check_maps, explain
from cxr_spark.explanation.sanity import UNREAD, by_block
from cxr_spark.explanation.summary import localization
from cxr_spark.explanation.task import PartExplainer
from cxr_spark.imaging.dicom.gate import DicomGate
from cxr_spark.models.metadata import ModelMetadata
from cxr_spark.models.metadata_file import load_metadata
from cxr_spark.outputs.claim import Claim
from cxr_spark.outputs.job import Input, Job, JobRun, ReadyJob
from cxr_spark.outputs.results import JobResult
from cxr_spark.reporting.numbers import count
from cxr_spark.scoring.plan import Part
from cxr_spark.scoring.request import Request, check_source, request_of
from cxr_spark.scoring.shipping import ship_model, threads_of_a_task
from cxr_spark.storage.store import Store
from cxr_spark.tables.explained import LOCALIZATION_NAME, METHODS

log = logging.getLogger(__name__)

PAGE_NAME, SANITY_NAME = "index.html", "sanity.json"


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
        sanity: how the maps correlate with those of the network whose weights are random from its head down to each
            block, the head first; None where that was not asked for, or of a block where it is not defined.
    """

    report: str
    model_id: str
    images: int
    quarantined: dict[str, int]
    dicom_doubtful: dict[str, int] | None = None
    boxes_met: int | None = None
    pointing_game: float | None = None
    sanity: dict[str, float | None] | None = None


@dataclass(frozen=True)
class ExplainJob(Job[ExplainResult]):
    """Shows where in an image a model finds its evidence, and how well that agrees with radiologists' boxes.

    Attributes:
        settings: the settings of the group `explain`.
        model: model folder of the train job.
        out: folder of the pictures, one an image, of index.html, localization.json and, where asked for, sanity.json.
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
            "--image-list": Input.of(self.settings.image_list, on_executors=False),
        }

    def read_inputs(self, run: JobRun) -> ReadyJob[ExplainResult]:
        """Opens the model, reads the boxes, and lists the images."""
        settings = self.settings
        model_uri = run.needed_uri("--model")
        metadata = load_metadata(Store(model_uri))
        check_finding(settings.finding, metadata.findings)
        check_layers(metadata, settings.layers)
        boxes = read_boxes(run.uri("--boxes"), settings.box_side, metadata.findings)
        listed = read_images_to_explain(run.uri("--image-list"), metadata.findings)
        request = request_of(run, settings, metadata)
        excluded = {"batch", "split", "image_index", "boxes", "image_list", "storage"}
        excluded |= settings.at_default("dicom", "method", "sanity")
        if not settings.sanity:
            excluded.add("seed")
        if not self.images:
            excluded.add("dicom")
        fingerprint = {
            "model_id": metadata.model_id,
            **request.fingerprint,
            **settings.model_dump(mode="json", exclude=excluded),
            "boxes": boxes.digest,
            **({"image_list": listed.digest} if listed else {}),
        }

        def produce(claimed: Claim) -> ExplainResult:
            claimed.clear()
            return self._explain(run, claimed, metadata, request, boxes, listed)

        return ReadyJob(fingerprint, produce)

    def _explain(
        self,
        run: JobRun,
        claimed: Claim,
        metadata: ModelMetadata,
        request: Request,
        boxes: Boxes,
        listed: ImageList | None,
    ) -> ExplainResult:
        settings, store, used = self.settings, claimed.store, boxes.used
        findings = request.dataset.findings if request.dataset else ()
        source = ImageSource(request.data, findings, DicomGate(**settings.dicom.model_dump()))
        warnings: list[str] = []
        if used is not None:
            used, warnings = used.for_images([name for part in request.parts for name in source.names(part)])
        for line in warnings:
            log.warning("%s", line)
        chosen_parts = self._chosen(request.parts, source, used, listed)
        model, _ = ship_model(run.spark, run.needed_uri("--model"), metadata)
        explainer = PartExplainer(
            out=store.uri,
            model=model,
            source=source,
            resize=request.resize or metadata.preprocessing.resize,
            finding=settings.finding,
            method=settings.method,
            layers=settings.layers,
            boxes=used.by_image if used else {},
            box_side=settings.box_side,
            threshold=settings.threshold,
            threads=threads_of_a_task(run.spark, len(chosen_parts)),
            batch=settings.batch,
            foreign=claimed.foreign,
            listed=listed or {},
        )
        told, overlaps, shown = explain(run.spark, chosen_parts, request.set_aside, explainer)
        about: dict[str, Any] = {"model_id": metadata.model_id, "method": settings.method}
        checked = None
        if settings.sanity:
            checked = check_maps(run.spark, chosen_parts, explainer, settings, about)
            doubt = UNREAD if checked is None else checked["warning"]
            if doubt:
                log.warning("%s", doubt)
                warnings.append(doubt)
        if checked:
            store.write_json(SANITY_NAME, checked)
        about |= {"boxes": boxes.uri, "threshold": settings.threshold, "warnings": warnings}
        found = localization(overlaps, boxes.listed, used, about)
        facts = list(self._facts(metadata, request, told["images"]))
        page = render(shown, found, facts, boxed=used is not None, total=told["images"], sanity=checked)
        store.write_bytes(PAGE_NAME, page.encode())
        store.write_json(LOCALIZATION_NAME, found)
        if boxes.listed is not None:
            told |= {"boxes_met": found["boxes_met"], "pointing_game": found["all"]["pointing_game"]}
        if checked:
            told["sanity"] = by_block(checked)
        return ExplainResult(out=store.uri, report=store.uri_of(PAGE_NAME), model_id=metadata.model_id, **told)

    def _chosen(
        self, parts: Sequence[Part], source: ImageSource, used: BoxList | None, listed: ImageList | None
    ) -> list[ChosenPart]:
        """Returns the images to explain: all, or those with a box, or listed, or both; the first ones up to a limit."""
        boxed = used.by_image if used and self.settings.only == "boxed" else None
        if listed is None:
            return choose(parts, source.names, boxed, self.settings.limit)
        wanted = listed if boxed is None else {name for name in boxed if name in listed}
        none_left = NOT_LISTED if boxed is None else NOT_LISTED_WITH_BOX
        chosen = choose(parts, source.names, wanted, self.settings.limit, none_left)
        lacking = len(listed) - sum(one.images for one in chosen)
        if boxed is None and self.settings.limit is None and lacking > 0:
            log.warning("%d of %d images of --image-list are not among the images", lacking, len(listed))
        return chosen

    def _facts(self, metadata: ModelMetadata, request: Request, images: int) -> Iterator[tuple[str, str]]:
        yield "Model", f"{metadata.architecture}, {metadata.model_id[:12]}"
        yield "Images", request.data or ", ".join(self.images)
        yield "Explained", f"{count(images)} by {METHODS[self.settings.method]}"
        if self.settings.boxes:
            yield "Boxes", self.settings.boxes
        if self.settings.image_list:
            yield "List", self.settings.image_list
        yield "Made", time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
