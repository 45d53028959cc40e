"""One task of the explain job: computes the Grad-CAM of its images, writes pictures, compares with boxes. No Spark."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cxr_spark.errors import RunError, UsageError
from cxr_spark.explanation.boxes import Box, in_square
from cxr_spark.explanation.gradcam import GradCam
from cxr_spark.explanation.images import ImageSource, ViewedImage
from cxr_spark.explanation.layers import gradcam_layer
from cxr_spark.explanation.localization import BoxOverlap, compare_with_boxes, on_square
from cxr_spark.explanation.names import file_name
from cxr_spark.explanation.network import input_of, shown_finding
from cxr_spark.explanation.overlay import SIDE, Caption, HeatMap, contact_sheet, map_corners, overlay
from cxr_spark.explanation.plan import ChosenPart
from cxr_spark.explanation.shown import CALLED_FROM, ShownFinding, ShownImage
from cxr_spark.explanation.writing import WRITERS, PictureWriter
from cxr_spark.imaging.prepare import use_one_thread
from cxr_spark.imaging.resize import ResizeMode
from cxr_spark.models.metadata import ModelMetadata
from cxr_spark.outputs.mark import note
from cxr_spark.scoring.predict import activate
from cxr_spark.scoring.shipped import ShippedModel
from cxr_spark.scoring.task import write_quarantine_part
from cxr_spark.scoring.torch_engine import TorchModel, on_worker
from cxr_spark.storage.store import Store
from cxr_spark.tables.explained import METHODS, MapPlace, write_explained
from cxr_spark.tables.schema import QUARANTINE


@dataclass(frozen=True)
class ExplainedPart:
    """The result of a part, as the driver gets it.

    Attributes:
        images: the number of explained images.
        quarantined: the number of images that could not be read, by reason.
        overlaps: the comparisons of maps with boxes, one for each image and finding.
        shown: what the pictures show, of at most `ChosenPart.most_listed` of them.
        doubts: the number of DICOM images that were explained though they may not be what the model is for, by reason.
    """

    images: int
    quarantined: dict[str, int]
    overlaps: tuple[BoxOverlap, ...]
    shown: tuple[ShownImage, ...] = ()
    doubts: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class PartExplainer:
    """Explains parts. Spark sends it to the executors.

    Attributes:
        out: the URI of the output folder.
        model: the model that is explained.
        source: where the images come from.
        resize: how the images were made square.
        finding: the name of the finding that is explained, or `TOP`.
        method: a key of `tables.explained.METHODS`.
        layers: the names of the layers whose maps are drawn.
        boxes: the boxes by image_index and finding, in pixels of the image that they were drawn on.
        box_side: the side of that image in pixels; None where it is the original image.
        threshold: the fraction of a map's maximum from which on it counts as overlap with boxes.
        threads: the number of CPU threads of a task.
        batch: the number of images in a forward pass.
        foreign: the names in the output folder that the job did not write, and must not replace.
        listed: the findings that single images are explained for, by image_index, in place of `finding`.
    """

    out: str
    model: ShippedModel
    source: ImageSource
    resize: ResizeMode
    finding: str
    method: str
    layers: tuple[str, ...]
    boxes: dict[str, dict[str, tuple[Box, ...]]] = field(repr=False)
    box_side: int | None
    threshold: float
    threads: int
    batch: int
    foreign: frozenset[str] = field(default=frozenset(), repr=False)
    listed: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)

    def __call__(self, chosen_parts: Iterable[ChosenPart]) -> Iterator[ExplainedPart]:
        """Writes the pictures of each part, and the quarantine of its unreadable images.

        Raises:
            DataError: the prepared data or the model are damaged.
            UsageError: a picture would replace a file that the job did not write.
            RunError: a file cannot be read or written.
        """
        use_one_thread()
        for chosen in chosen_parts:
            self._note(chosen)
            model = on_worker(self.model, self.threads)
            layer = gradcam_layer(model.metadata)
            with GradCam(model.module, layer, plus_plus=self.method == "gradcam++", also=self.layers) as cam:
                yield self._part(chosen, model, cam)

    def _note(self, chosen: ChosenPart) -> None:
        """Notes the names of a part's pictures before any is written.

        The names come from the data, so these notes alone tell later that a picture is the job's own.
        """
        images = chosen.names if chosen.names is not None else self.source.names(chosen.part)
        names = [file_name(name) for name in images]
        names += [f"layers/{layer}/{name}" for layer in self.layers for name in names]
        taken = self.foreign.intersection(names)
        if taken:
            raise UsageError(
                f"--out {self.out} holds {min(taken)}, which `cxr-spark explain` did not write and would have to "
                "replace: move it away, or choose another --out"
            )
        note(Store(self.out), names)

    def _part(self, chosen: ChosenPart, model: TorchModel, cam: GradCam) -> ExplainedPart:
        shown: list[ShownImage] = []
        overlaps: list[BoxOverlap] = []
        record: list[tuple[str, str, MapPlace]] = []
        rejected: list[dict[str, str]] = []
        waiting: list[ViewedImage] = []
        doubts: Counter[str] = Counter()
        images = 0
        with ExitStack() as stack:
            writer = PictureWriter(Store(self.out), stack.enter_context(ThreadPoolExecutor(WRITERS)))

            def explain_waiting() -> None:
                for one in self._explain(waiting, model, cam, writer):
                    overlaps.extend(found.overlap for found in one.findings if found.overlap is not None)
                    for found, corner in zip(one.findings, map_corners(len(one.findings)), strict=True):
                        record.append((one.image_index, found.finding, MapPlace(one.picture, *corner, SIDE)))
                    if len(shown) < chosen.most_listed:
                        shown.append(one)
                waiting.clear()

            for image in self.source.images(chosen, model.metadata.preprocessing, self.batch, self.threads):
                if not isinstance(image, ViewedImage):
                    rejected.append(image)
                    continue
                waiting.append(image)
                images += 1
                doubts.update(image.doubts)
                if len(waiting) == self.batch:
                    explain_waiting()
            if waiting:
                explain_waiting()
            writer.finish()
        write_explained(Store(self.out), f"{chosen.part.number:05d}", record)
        if rejected:
            table = pa.Table.from_pylist(rejected, schema=QUARANTINE)
            write_quarantine_part(Store(self.out), f"{chosen.part.number:05d}", table)
        reasons = dict(Counter(row["reason"] for row in rejected))
        return ExplainedPart(images, reasons, tuple(overlaps), tuple(shown), dict(doubts))

    def _explain(
        self, images: list[ViewedImage], model: TorchModel, cam: GradCam, writer: PictureWriter
    ) -> Iterator[ShownImage]:
        metadata = model.metadata
        logits = cam.logits(input_of([image.pixels for image in images], model))
        probabilities = activate(logits, metadata.task).cpu().numpy()
        if not np.isfinite(probabilities).all():
            raise RunError(f"model {metadata.model_id[:12]} gives probabilities that are not numbers: train it again")
        boxed = [self.boxes.get(image.image_index, {}) for image in images]
        wanted = [
            self._wanted(image, row, metadata.findings, found)
            for image, row, found in zip(images, probabilities, boxed, strict=True)
        ]
        maps = _maps(cam, [[metadata.findings.index(name) for name in names] for names in wanted])
        features = {name: output.float().cpu().numpy() for name, output in cam.features.items()}
        for i, image in enumerate(images):
            drawn = [
                self._map(image, probabilities[i], name, heat, boxed[i].get(name, ()), metadata)
                for name, heat in zip(wanted[i], maps[i], strict=True)
            ]
            labels = None if image.labels is None else [name for name, present in image.labels.items() if present]
            caption = Caption(image.image_index, labels, f"{METHODS[self.method]} of {metadata.architecture}")
            own = file_name(image.image_index)
            writer.write(own, overlay, image.view, drawn, caption)
            for layer in self.layers:
                writer.write(f"layers/{layer}/{own}", contact_sheet, features[layer][i], layer, image.image_index)
            yield ShownImage(image.image_index, own, tuple(one.shown for one in drawn))

    def _wanted(
        self, image: ViewedImage, probabilities: NDArray[np.float32], findings: tuple[str, ...], boxed: Iterable[str]
    ) -> list[str]:
        """Returns the findings whose maps are drawn: those that the image is listed with, or the one to show; boxed."""
        first = self.listed.get(image.image_index, ())
        return list(
            dict.fromkeys([*(first or [findings[shown_finding(probabilities, findings, self.finding)]]), *boxed])
        )

    def _map(
        self,
        image: ViewedImage,
        probabilities: NDArray[np.float32],
        finding: str,
        cam: NDArray[np.float32],
        boxes: Sequence[Box],
        metadata: ModelMetadata,
    ) -> HeatMap:
        """Returns the map of a finding with the finding's own boxes, and compares it with them."""
        preprocessing, place = metadata.preprocessing, metadata.findings.index(finding)
        placed = [self._placed(box, image) for box in boxes]
        overlap = compare_with_boxes(finding, cam, placed, preprocessing, self.threshold) if placed else None
        probability = float(probabilities[place])
        softmax = metadata.task == "single_label"
        called = int(probabilities.argmax()) == place if softmax else probability >= CALLED_FROM
        labelled = None if image.labels is None else image.labels.get(finding)
        shown = ShownFinding(finding, probability, called, labelled, overlap)
        return HeatMap(shown, on_square(cam, preprocessing, SIDE), [box for box in placed if box is not None])

    def _placed(self, box: Box, image: ViewedImage) -> Box | None:
        size = image.pixels.shape[0]
        return in_square(
            box, drawn_on=self.box_side, height=image.height, width=image.width, size=size, mode=self.resize
        )


def _maps(cam: GradCam, wanted: list[list[int]]) -> list[list[NDArray[np.float32]]]:
    """Returns the maps of the wanted outputs for each image of the last batch, in few backward passes."""
    maps: list[list[NDArray[np.float32]]] = [[] for _ in wanted]
    for turn in range(max(map(len, wanted))):
        rows = [i for i, outputs in enumerate(wanted) if len(outputs) > turn]
        for row, one in zip(rows, cam.maps(rows, [wanted[i][turn] for i in rows]), strict=True):
            maps[row].append(one)
    return maps
