"""Shows where in an image a model finds its evidence: Grad-CAM overlays, maps of layers, and how they meet boxes."""

from __future__ import annotations

import argparse
import difflib
import hashlib
from collections.abc import Sequence

from cxr_spark.config import ExplainSettings
from cxr_spark.errors import DataError, UsageError
from cxr_spark.outputs.claim import claim
from cxr_spark.outputs.overlap import config_inputs, refuse_overlap
from cxr_spark.runtime.application import Application
from cxr_spark.storage.store import Store, read_uri

HELP = "Grad-CAM overlays, maps of layers, and how well they meet radiologists' boxes"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's own options."""
    add = parser.add_argument
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--data", metavar="URI", help="output of the prepare job")
    source.add_argument("--images", metavar="URI", action="append", help="folder or glob of raw images; repeatable")
    add("--model", metavar="URI", required=True, help="model folder: RUN/model of the train job")
    add("--out", metavar="URI", required=True, help="folder of the pictures, one an image, and of localization.json")
    add(
        "--boxes",
        metavar="CSV",
        help="radiologists' boxes: NIH's BBox_List_2017.csv or RSNA's label file; gzipped or not",
    )
    add(
        "--finding",
        metavar="NAME",
        help="whose evidence is shown; top: the most probable one but `No Finding` (default)",
    )
    add("--layers", metavar="A,B", help="layers whose maps are drawn, too, such as layer1,layer4.2.conv3")
    add("--split", help="split of prepared data: train, val, test or all (default: test)")
    add("--only", help="all images, or those that are boxed (default: all)")
    add("--limit", metavar="N", help="explain the first N images (default: all)")
    add("--image-index", help="raw images are called by their file name, or by the path below the folder: name or path")
    add(
        "--box-side",
        metavar="N",
        help="side of the images that boxes were drawn on; null: as given (default: 1024)",
    )
    add("--threshold", metavar="T", help="part of a map's maximum that counts as overlap (default: 180/255)")
    add("--batch", metavar="N", help="images a forward pass (default: 16)")


def run(args: argparse.Namespace) -> dict[str, object]:
    """Writes OUT/IMAGE.png, OUT/layers/LAYER/IMAGE.png and OUT/localization.json."""
    from cxr_spark.explanation.box_lists import read_box_list
    from cxr_spark.explanation.job import LOCALIZATION_NAME, explain, localization
    from cxr_spark.explanation.layers import check_layers
    from cxr_spark.explanation.plan import select
    from cxr_spark.explanation.task import TOP, PartExplainer
    from cxr_spark.models.folder import load_metadata
    from cxr_spark.scoring.job import threads_of_a_task
    from cxr_spark.scoring.shipping import ship_model
    from cxr_spark.scoring.work import prepared_work, raw_work

    changes = {f"explain.{name}": getattr(args, name) for name in ExplainSettings.model_fields}
    settings: ExplainSettings = args.settings.updated(changes).explain
    _check_options(args, settings)
    application = Application("cxr-spark explain", args.master, args.spark_conf)
    store = Store(application.resolve_shared(args.out, "--out"))
    model_uri = application.resolve(args.model)
    option, paths = ("--data", [args.data]) if args.data else ("--images", args.images)
    sources = [application.resolve_shared(path, option) for path in paths]
    boxes_uri = application.resolve(settings.boxes) if settings.boxes else None
    inputs: dict[str, Sequence[str | None]] = {
        option: sources,
        "--model": [model_uri],
        "--boxes": [boxes_uri],
        "--config": config_inputs(args.config),
    }
    refuse_overlap(store.uri, inputs, application.hadoop_settings)
    metadata = load_metadata(Store(model_uri))
    if settings.finding != TOP:
        _check_finding(settings.finding, metadata.findings, TOP)
    check_layers(metadata, settings.layers)
    box_bytes = _read_boxes(boxes_uri) if boxes_uri else b""
    listed = read_box_list(box_bytes, boxes_uri, settings.box_side, metadata.findings) if boxes_uri else None
    used = listed.of(metadata.findings, boxes_uri) if listed and boxes_uri else None
    if args.data:
        work = prepared_work(sources[0], settings.split, metadata)
    else:
        work = raw_work(sources, settings.image_index, application.spark.sparkContext.defaultParallelism)
    fingerprint = {
        "model_id": metadata.model_id,
        **work.fingerprint,
        **settings.model_dump(mode="json", exclude={"batch", "split", "image_index", "boxes"}),
        "boxes": hashlib.sha256(box_bytes).hexdigest() if boxes_uri else None,
    }
    with claim(store, "explain", fingerprint, args.overwrite) as claimed:
        args.status_uri = store.uri
        if claimed.finished is not None:
            return claimed.finished
        claimed.clear()
        only = used.by_image if used and settings.only == "boxed" else None
        selections = select(work.parts, work.dataset.store if work.dataset else None, only, settings.limit)
        spark = application.spark
        model, _ = ship_model(spark, model_uri)
        explainer = PartExplainer(
            out=store.uri,
            model=model,
            data=work.data,
            data_findings=work.dataset.findings if work.dataset else (),
            resize=work.resize or metadata.preprocessing.resize,
            finding=settings.finding,
            layers=settings.layers,
            boxes=used.by_image if used else {},
            box_side=settings.box_side,
            threshold=settings.threshold,
            threads=threads_of_a_task(spark, len(selections)),
            batch=settings.batch,
            foreign=claimed.foreign,
        )
        counts, meetings = explain(spark, selections, work.set_aside, explainer)
        about = {"model_id": metadata.model_id, "boxes": boxes_uri, "threshold": settings.threshold}
        found = localization(meetings, listed, used, about)
        store.write_json(LOCALIZATION_NAME, found)
        pooled = {"boxes_met": found["boxes_met"], "pointing_game": found["all"]["pointing_game"]} if listed else {}
        summary = {"out": store.uri, "model_id": metadata.model_id, **counts, **pooled}
        claimed.done(summary)
    return summary


def _check_options(args: argparse.Namespace, settings: ExplainSettings) -> None:
    if args.images and args.split:
        raise UsageError("--split is for prepared data: give it with --data, or leave it out with --images")
    if settings.only == "boxed" and not settings.boxes:
        raise UsageError("--only boxed chooses the images by --boxes: give the list")


def _check_finding(name: str, findings: Sequence[str], top: str) -> None:
    if name not in findings:
        near = difflib.get_close_matches(name, findings, n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise UsageError(f"--finding: unknown finding {name!r}{hint}: expected {top} or one of {', '.join(findings)}")


def _read_boxes(uri: str) -> bytes:
    try:
        return read_uri(uri)
    except FileNotFoundError:
        raise DataError(f"--boxes {uri}: no such file") from None
