"""The prepare job on the driver: plan, let Spark's tasks write, clean up, count, and commit by the manifest."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cxr_spark.errors import DataError
from cxr_spark.imaging.resize import ResizeMode
from cxr_spark.outputs.own_files import delete_strays
from cxr_spark.preparation.manifest import make_manifest, quarantined
from cxr_spark.preparation.plan import Plan
from cxr_spark.preparation.task import DATA, QUARANTINE_FOLDER, PartWriter, WrittenFile, write_quarantine
from cxr_spark.runtime.spark_schema import to_spark
from cxr_spark.runtime.tasks import run_parts
from cxr_spark.storage.store import Store
from cxr_spark.tables.prepared import MANIFEST_NAME
from cxr_spark.tables.schema import PREPARED, TEST, TRAIN

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Request:
    """What to prepare.

    Attributes:
        plan: images and labels.
        findings: the label order.
        size: side of the stored images, pixels.
        mode: how an image becomes a square.
        max_bad_fraction: the job fails if more of the wanted images cannot be prepared.
        settings: what of the settings the manifest records.
        sources: URIs of what was read, by kind.
        notes: what was dropped or changed in the labels, by kind.
        selection: what `datasets.selection.select` counted.
        ignored: what the search for images left aside, as `imaging.ignored.Ignored.recorded` gives it.
        white_level: the value of a PNG with 16 bits that is white; None for 65535.
    """

    plan: Plan
    findings: Sequence[str]
    size: int
    mode: ResizeMode
    max_bad_fraction: float
    settings: Mapping[str, Any]
    sources: Mapping[str, Any]
    notes: Mapping[str, int]
    selection: Mapping[str, Any]
    ignored: Mapping[str, Any] = field(default_factory=dict)
    white_level: int | None = None


def prepare(spark: SparkSession, request: Request, store: Store, check_held: Callable[[], None]) -> dict[str, Any]:
    """Writes a prepared dataset.

    Files that no task reported, of attempts that failed or ran twice, are deleted. The manifest is written last.

    Args:
        spark: the session.
        request: what to prepare.
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
        files.append(write_quarantine(store, name, request.plan.set_aside))
    files += _run(spark, request, store)
    check_held()
    delete_strays(store, "prepare", {file.name for file in files})
    manifest = make_manifest(
        request.plan.counts,
        files,
        request.findings,
        settings=request.settings,
        sources=request.sources,
        notes=request.notes,
        selection=request.selection,
        ignored=request.ignored,
        white_level=request.white_level,
    )
    _refuse_too_many_bad(store, request, manifest, files)
    check_held()
    store.write_json(MANIFEST_NAME, manifest)
    _log_outcome(manifest)
    return manifest


def _run(spark: SparkSession, request: Request, store: Store) -> list[WrittenFile]:
    """Lets Spark's tasks write, one part each."""
    parts = request.plan.parts
    images = sum(part.images.num_rows for part in parts)
    writer = PartWriter(store.uri, request.size, request.mode, _spark_schema(request.size), request.white_level)
    log.info("preparing %d images in %d files of %s", images, len(parts), store.uri_of(DATA))
    started = time.monotonic()
    files = run_parts(spark, parts, writer, "preparing")
    seconds = max(time.monotonic() - started, 1e-3)
    good = sum(file.rows for file in files if file.split is not None)
    log.info("prepared %d of %d images in %.1f s, %.0f images/s", good, images, seconds, images / seconds)
    return files


def _log_outcome(manifest: Mapping[str, Any]) -> None:
    """Says what an operator should know even of a run that went well."""
    images = {split: counts["images"] for split, counts in manifest["splits"].items()}
    log.info("splits: %s", ", ".join(f"{split} {count}" for split, count in images.items()))
    if manifest["quarantined"]:
        reasons = ", ".join(f"{reason} {count}" for reason, count in manifest["quarantined"].items())
        log.warning("quarantined: %s", reasons)
    _warn_of_dim_images(manifest["png_16_bit_dim"])
    for split in (TRAIN, TEST):
        if not images[split]:
            log.warning("split %s is empty", split)


def _warn_of_dim_images(by_bits: Mapping[str, int]) -> None:
    """Says that images of 16 bits hold fewer, so that they come out nearly black, and which setting brightens them."""
    if by_bits:
        bits = max(map(int, by_bits))
        log.warning(
            "%d PNG files of 16 bits hold values of no more than %d bits and come out dark: if white is %d in all of "
            "them, prepare again with --set prepare.white_level=%d",
            sum(by_bits.values()),
            bits,
            2**bits - 1,
            2**bits - 1,
        )


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
    wanted = request.plan.counts.wanted
    reasons = ", ".join(f"{reason} {count}" for reason, count in quarantined(files).items())
    raise DataError(
        f"{wanted - manifest['prepared']} of {wanted} labelled images are bad ({reasons}), more than the fraction "
        f"{request.max_bad_fraction} that --max-bad-fraction allows: see {store.uri_of(QUARANTINE_FOLDER)}"
    )
