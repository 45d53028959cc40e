"""The prepare job on the driver: plan, let Spark's tasks write, clean up, count, and commit by the manifest."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from cxr_spark.config import PrepareSettings, Settings
from cxr_spark.datasets.joining import DOUBTFUL, join_names
from cxr_spark.datasets.registry import LabelSource, dataset_named
from cxr_spark.errors import DataError, UsageError
from cxr_spark.imaging.listing import survey_images
from cxr_spark.outputs.claim import Claim
from cxr_spark.outputs.job import Input, Job, JobRun, ReadyJob
from cxr_spark.outputs.own_files import delete_strays
from cxr_spark.outputs.results import JobResult
from cxr_spark.preparation.headers import with_headers
from cxr_spark.preparation.manifest import log_outcome, make_manifest, quarantined
from cxr_spark.preparation.near_duplicates import near_duplicates
from cxr_spark.preparation.request import Request, make_request
from cxr_spark.preparation.sources import find_sources, fingerprint, read_texts
from cxr_spark.preparation.task import DATA, QUARANTINE_FOLDER, PartWriter, WrittenFile, quarantine_record, table_record
from cxr_spark.runtime.spark_schema import to_spark
from cxr_spark.runtime.tasks import run_parts
from cxr_spark.storage.store import Store
from cxr_spark.tables.prepared import MANIFEST_NAME
from cxr_spark.tables.quarantine import examples
from cxr_spark.tables.schema import PREPARED
from cxr_spark.tables.text import counted

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

log = logging.getLogger(__name__)

#: The folder of the pairs of near-duplicates, below the output.
NEAR_DUPLICATES = "near_duplicates"


class PrepareResult(JobResult):
    """The result of the prepare job.

    Attributes:
        images_found: image files that were found.
        joined: images that have a label.
        prepared: images in the prepared dataset.
        images_without_label: images that are in no label file.
        labels_without_image: labelled images that were not found.
        quarantined: images that could not be prepared, by reason.
        splits: images of each split.
        warnings: what was guessed or lost, in words, each with what to do about it.
    """

    images_found: int
    joined: int
    prepared: int
    images_without_label: int
    labels_without_image: int
    quarantined: dict[str, int]
    splits: dict[str, int]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class PrepareJob(Job[PrepareResult]):
    """Reads, checks and resizes images, joins their labels, splits by patient, and writes a prepared dataset.

    Attributes:
        settings: the settings of the group `prepare`.
        out: folder of the prepared dataset.
    """

    name: ClassVar[str] = "prepare"
    result: ClassVar[type[JobResult]] = PrepareResult
    settings: PrepareSettings
    out: str

    @classmethod
    def from_options(cls, settings: Settings, *, out: str, **options: Any) -> PrepareJob:
        """Returns the job that options ask for. An option has the name of the setting of `prepare` that it replaces.

        Raises:
            UsageError: no images are named.
            ConfigError: an option is out of range.
        """
        prepare: PrepareSettings = settings.updated({f"prepare.{name}": options[name] for name in options}).prepare
        if not prepare.images:
            raise UsageError("--images is missing: give it, or prepare.images in the settings file")
        return cls(prepare, out)

    def inputs(self) -> Mapping[str, Input]:
        """Returns images, labels and lists. Executors read the images, the driver the rest."""
        settings = self.settings
        return {
            "--images": Input(settings.images),
            "--labels": Input(settings.labels, on_executors=False),
            "--train-list": Input.of(settings.train_list, on_executors=False),
            "--test-list": Input.of(settings.test_list, on_executors=False),
        }

    def read_inputs(self, run: JobRun) -> ReadyJob[PrepareResult]:
        """Lists the images and reads the labels."""
        settings = self.settings
        sources = find_sources(run.uris, settings)
        texts = read_texts(sources)
        found, ignored = survey_images(sources.images)
        ignored.warn()
        log.info("found %d images and %d other files", len(found.files), found.ignored)
        dataset = dataset_named(settings.dataset)
        images = {dataset.image_index(file.uri, file.root): file.uri for file in found.files if file.problem is None}
        source = LabelSource(texts.labels, list(images), settings, settings.positive_class)
        joined = join_names(dataset, images, dataset.read_labels(source))

        def produce(claimed: Claim) -> PrepareResult:
            labels = joined.labels
            known = with_headers(run.spark, labels, joined.uris, patient_first=dataset.header_tells_patient)
            cores = run.spark.sparkContext.defaultParallelism
            request = make_request(settings, sources, texts, found, replace(joined, labels=known), cores)
            warnings = (*ignored.warnings(), *request.warnings)
            request = replace(request, ignored=ignored.recorded(), warnings=warnings)
            claimed.clear()  # a task's files bear names of their own: what a killed run left would stay among them
            manifest = prepare(run.spark, request, claimed.store, claimed.lock.check)
            counted = ("images_found", "joined", "prepared", "images_without_label", "labels_without_image")
            return PrepareResult(
                out=claimed.store.uri,
                **{name: manifest[name] for name in counted},
                quarantined=manifest["quarantined"],
                splits={name: split["images"] for name, split in manifest["splits"].items()},
                warnings=tuple(manifest["warnings"]),
            )

        return ReadyJob(fingerprint(settings, sources, texts, found), produce)


def prepare(spark: SparkSession, request: Request, store: Store, check_held: Callable[[], None]) -> dict[str, Any]:
    """Writes a prepared dataset.

    Files that no task reported, of attempts that failed or ran twice, are deleted. The manifest is written last.

    Args:
        spark: the session.
        request: the images and labels to prepare.
        store: the output folder, held by this run and empty.
        check_held: raises if another run took the folder over; called before anything is deleted or committed.

    Returns:
        The manifest.

    Raises:
        DataError: too many images are bad. Their quarantine is kept, the prepared images are not.
        RunError: files could not be written, or were lost.
    """
    files: list[WrittenFile] = []
    if request.plan.set_aside.num_rows:
        name = f"{QUARANTINE_FOLDER}/part-names-{secrets.token_hex(8)}.parquet"
        files.append(quarantine_record(store, name, request.plan.set_aside))
    files += _run(spark, request, store)
    alike = near_duplicates(files)
    check_held()
    if alike.pairs.num_rows:
        files.append(table_record(store, f"{NEAR_DUPLICATES}/part-{secrets.token_hex(8)}.parquet", alike.pairs))
    delete_strays(store, "prepare", {file.name for file in files})
    manifest = make_manifest(
        request.plan.counts,
        files,
        request.findings,
        settings=request.settings,
        sources=request.sources,
        notes=request.notes,
        selection=request.selection,
        warnings=request.warnings,
        ignored=request.ignored,
        white_level=request.white_level,
        alike=alike,
    )
    _refuse_too_many_bad(store, request, manifest, files)
    check_held()
    store.write_json(MANIFEST_NAME, manifest)
    log_outcome(manifest)
    return manifest


def _run(spark: SparkSession, request: Request, store: Store) -> list[WrittenFile]:
    """Lets Spark's tasks write, one part each."""
    parts = request.plan.parts
    images = sum(part.images.num_rows for part in parts)
    writer = PartWriter(
        store.uri, request.size, request.mode, _spark_schema(request.size), request.white_level, request.gate
    )
    log.info("preparing %d images in %d files of %s", images, len(parts), store.uri_of(DATA))
    started = time.monotonic()
    files = run_parts(spark, parts, writer, "preparing")
    seconds = max(time.monotonic() - started, 1e-3)
    good = sum(file.rows for file in files if file.split is not None)
    log.info("prepared %d of %d images in %.1f s, %.0f images/s", good, images, seconds, images / seconds)
    return files


def _spark_schema(size: int) -> str:
    """Returns the schema that Spark finds in the files, with the shape of the pixels in their column's metadata."""
    schema = to_spark(PREPARED)
    schema["pixels"].metadata = {"cxr": {"shape": [size, size], "dtype": "uint8"}}
    return str(schema.json())


def _refuse_too_many_bad(
    store: Store, request: Request, manifest: Mapping[str, Any], files: Sequence[WrittenFile]
) -> None:
    if manifest["bad_fraction"] <= request.max_bad_fraction:
        return
    for file in files:
        if file.split is not None:
            store.delete(file.name)
    doubtful = request.notes.get(DOUBTFUL, 0)
    wanted = request.plan.counts.wanted + doubtful
    refused = quarantined(files)
    reasons = counted({**refused, **({"label in doubt": doubtful} if doubtful else {})})
    told = f": {examples(store)}; `cxr-spark quarantine {store.uri}` lists them all" if refused else ""
    raise DataError(
        f"{wanted - manifest['prepared']} of {wanted} labelled images are bad ({reasons}), more than the fraction "
        f"{request.max_bad_fraction} that --max-bad-fraction allows{told}"
    )
