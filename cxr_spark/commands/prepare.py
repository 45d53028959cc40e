"""Reads, checks and resizes images, joins their labels, splits by patient, and writes a prepared dataset."""

from __future__ import annotations

import argparse
import hashlib
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cxr_spark.config import PrepareSettings
from cxr_spark.errors import DataError, UsageError
from cxr_spark.outputs.claim import claim
from cxr_spark.outputs.overlap import config_inputs, refuse_overlap
from cxr_spark.runtime.application import Application
from cxr_spark.storage.store import Store, parent_and_name, read_uri

if TYPE_CHECKING:
    from cxr_spark.datasets.base import LabelFile
    from cxr_spark.imaging.listing import ImageFiles

HELP = "read, check and resize images, join their labels, split by patient"

#: The lists of NIH's download; found beside the label file where they are not named.
OFFICIAL_LISTS = {"train_list": "train_val_list.txt", "test_list": "test_list.txt"}

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's own options."""
    add = parser.add_argument
    add("--images", metavar="URI", action="append", help="folder or glob, searched with all below it; repeatable")
    add("--labels", metavar="CSV", action="append", help="label file, gzipped or not; repeatable; none for folders")
    add("--out", metavar="URI", required=True, help="folder of the prepared dataset")
    add("--dataset", help="whose layout they have: nih, chexpert, rsna, or folder of class folders (default: nih)")
    add("--split", help="official, patient, or column (of the labels, named split) (default: by dataset)")
    add("--train-list", metavar="FILE", help="official list of training images (default: beside the labels)")
    add("--test-list", metavar="FILE", help="official list of test images (default: beside the labels)")
    add("--val-fraction", metavar="F", help="part of the training patients for validation (default: 0.1)")
    add("--test-fraction", metavar="F", help="part of all patients for testing, with --split patient (default: 0.2)")
    add("--size", metavar="PX", help="side of the stored square images (default: 224)")
    add("--resize", help="squash, pad or crop to a square (default: squash)")
    add("--seed", metavar="N", help="seed of the split (default: 42)")
    add("--max-bad-fraction", metavar="F", help="fail if more of the labelled images are bad (default: 0.01)")


@dataclass(frozen=True)
class _Sources:
    """Full URIs of all that is read; None where there is nothing."""

    images: tuple[str, ...]
    labels: tuple[str, ...]
    train_list: str | None
    test_list: str | None

    def recorded(self) -> dict[str, Any]:
        """Returns what the manifest tells: one label file, the usual case, by its URI alone."""
        labels = self.labels[0] if len(self.labels) == 1 else list(self.labels) or None
        return {**vars(self), "images": list(self.images), "labels": labels}


def run(args: argparse.Namespace) -> dict[str, object]:
    """Writes OUT/data, OUT/quarantine and OUT/manifest.json."""
    from cxr_spark.datasets.base import LabelFile
    from cxr_spark.datasets.registry import LabelSource, dataset_named
    from cxr_spark.datasets.selection import Subset, select
    from cxr_spark.datasets.splits import assign_splits
    from cxr_spark.imaging.listing import survey_images
    from cxr_spark.preparation.headers import with_headers
    from cxr_spark.preparation.job import Request, prepare
    from cxr_spark.preparation.plan import make_plan

    settings = _settings(args)
    dataset = dataset_named(settings.dataset)
    application = Application("cxr-spark prepare", args.master, args.spark_conf)
    store = Store(application.resolve_shared(args.out, "--out"))
    sources = _sources(application, settings)
    refuse_overlap(
        store.uri,
        {
            "--images": sources.images,
            "--labels": sources.labels,
            "--train-list": [sources.train_list],
            "--test-list": [sources.test_list],
            "--config": config_inputs(args.config),
        },
        application.hadoop_settings,
    )

    lists = {name: _read(name, uri) for name in OFFICIAL_LISTS if (uri := getattr(sources, name)) is not None}
    files = tuple(LabelFile(_read("labels", uri), uri) for uri in sources.labels)
    found, ignored = survey_images(sources.images)
    ignored.warn()
    log.info("found %d images and %d other files", len(found.files), found.ignored)
    images = {dataset.image_index(file.uri, file.root): file.uri for file in found.files if file.problem is None}
    labels = dataset.read_labels(LabelSource(files, list(images), settings.uncertain, settings.positive_class))
    fingerprint = _fingerprint(settings, sources, {**lists, **dict(_numbered(files))}, found)
    with claim(store, "prepare", fingerprint, args.overwrite) as claimed:
        args.status_uri = store.uri
        if claimed.finished is not None:
            return claimed.finished
        all_images = labels.table["image_index"]
        if dataset.has_headers:
            labels = with_headers(application.spark, labels, images)
        subset = Subset(**settings.subset.model_dump())
        labels, selected = select(labels, subset, settings.sample, images=images, seed=settings.seed)
        assignment = assign_splits(
            labels,
            settings.split or labels.usual_split,
            **lists,
            val_fraction=settings.val_fraction,
            test_fraction=settings.test_fraction,
            seed=settings.seed,
        )
        claimed.clear()  # a task's files bear names of their own: what a killed run left would stay among them
        plan = make_plan(
            found,
            dataset.image_index,
            all_images,
            assignment.table,
            size=settings.size,
            cores=application.spark.sparkContext.defaultParallelism,
        )
        request = Request(
            plan=plan,
            findings=labels.findings,
            size=settings.size,
            mode=settings.resize,
            max_bad_fraction=settings.max_bad_fraction,
            settings={**_recorded(settings), "split": settings.split or labels.usual_split},
            sources=sources.recorded(),
            notes={**labels.notes, **assignment.notes},
            selection=selected,
            ignored=ignored.recorded(),
            white_level=settings.white_level,
        )
        manifest = prepare(application.spark, request, store, claimed.lock.check)
        summary = _summary(store, manifest)
        claimed.done(summary)
    return summary


def _settings(args: argparse.Namespace) -> PrepareSettings:
    options = {name: getattr(args, name, None) for name in PrepareSettings.model_fields}
    settings: PrepareSettings = args.settings.updated({f"prepare.{name}": options[name] for name in options}).prepare
    if not settings.images:
        raise UsageError("--images is missing: give it, or prepare.images in the settings file")
    return settings


def _sources(application: Application, settings: PrepareSettings) -> _Sources:
    """Resolves what is read. Images must be in reach of every executor; the rest is read here."""
    images = tuple(application.resolve_shared(pattern, "--images") for pattern in settings.images)
    labels = tuple(application.resolve(path) for path in settings.labels)
    given = {name: getattr(settings, name) for name in OFFICIAL_LISTS}
    lists = {name: application.resolve(path) if path else None for name, path in given.items()}
    if settings.dataset == "nih" and settings.split in (None, "official") and labels and not any(lists.values()):
        folder, _ = parent_and_name(labels[0])
        if all(folder.exists(name) for name in OFFICIAL_LISTS.values()):
            lists = {name: folder.uri_of(file) for name, file in OFFICIAL_LISTS.items()}
            log.info("official lists found beside the labels: %s", ", ".join(OFFICIAL_LISTS.values()))
    return _Sources(images, labels, **lists)


def _read(option: str, uri: str) -> bytes:
    try:
        return read_uri(uri)
    except FileNotFoundError:
        raise DataError(f"--{option.replace('_', '-')} {uri}: no such file") from None


def _recorded(settings: PrepareSettings) -> dict[str, Any]:
    """The settings that decide the result, for fingerprint and manifest; where the inputs are is told by sources."""
    recorded = settings.model_dump(mode="json", exclude={"images", "labels", "train_list", "test_list"})
    if settings.white_level is None:  # so that outputs from before there was this setting are still recognised
        del recorded["white_level"]
    return recorded


def _fingerprint(
    settings: PrepareSettings, sources: _Sources, texts: Mapping[str, bytes], found: ImageFiles
) -> dict[str, Any]:
    contents = {name: hashlib.sha256(text).hexdigest() for name, text in texts.items()}
    files = _digest(f"{file.uri}\0{file.size}\0{file.modified}" for file in found.files)
    return {**_recorded(settings), **contents, "images": list(sources.images), "image_files": files}


def _numbered(files: Sequence[LabelFile]) -> Iterator[tuple[str, bytes]]:
    """Names the contents of label files: `labels`, `labels2` and on."""
    for number, file in enumerate(files, start=1):
        yield f"labels{number if number > 1 else ''}", file.data


def _digest(lines: Iterable[str]) -> str:
    hashed = hashlib.sha256()
    for line in lines:
        hashed.update(line.encode("utf-8", "surrogateescape") + b"\n")
    return hashed.hexdigest()


def _summary(store: Store, manifest: dict[str, Any]) -> dict[str, object]:
    counted: Sequence[str] = ("images_found", "joined", "prepared", "images_without_label", "labels_without_image")
    return {
        "out": store.uri,
        **{name: manifest[name] for name in counted},
        "quarantined": manifest["quarantined"],
        "splits": {name: split["images"] for name, split in manifest["splits"].items()},
    }
