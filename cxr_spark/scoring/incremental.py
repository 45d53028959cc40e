"""Incremental scoring: scores the images that are new or have changed since the last run, each exactly once.

Tasks write their files below `_staged`. Then the ledger is replaced, which is the commit. Then the files are put into
their places. Where a run is killed before the commit, it is as if it had never begun; where it is killed after the
commit, the next run puts the remaining files into their places.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cxr_spark.config import ScoreSettings
from cxr_spark.errors import UsageError
from cxr_spark.imaging.dicom.gate import DicomGate
from cxr_spark.imaging.listing import ImageFile, ImageFiles, find_images
from cxr_spark.imaging.rejected import DUPLICATE_NAME, UNREADABLE
from cxr_spark.outputs.claim import DONE_NAME, Claim, difference
from cxr_spark.scoring.headers import doubts_of
from cxr_spark.scoring.ledger import STAGED, Entry, Ledger
from cxr_spark.scoring.models import Models
from cxr_spark.scoring.plan import APART, NAMINGS, RawPart, raw_parts
from cxr_spark.scoring.running import run_image_parts
from cxr_spark.scoring.shipping import threads_of_a_task
from cxr_spark.scoring.task import QUARANTINE_FOLDER, PartScorer, ScoredPart, write_quarantine_part
from cxr_spark.storage.json_values import as_json
from cxr_spark.storage.store import Store
from cxr_spark.tables.score_columns import ScoreForm
from cxr_spark.tables.text import printable

if TYPE_CHECKING:
    from cxr_spark.runtime.application import Application

log = logging.getLogger(__name__)


def score_new(
    application: Application,
    claimed: Claim,
    patterns: Sequence[str],
    settings: ScoreSettings,
    models: Models,
    form: ScoreForm,
    fingerprint: Mapping[str, Any],
) -> dict[str, Any]:
    """Scores the images that this model has not scored yet, and those that have changed since.

    Spark is started only if there are any.

    Args:
        application: the Spark application.
        claimed: the output folder, held by this run.
        patterns: full URIs of folders and globs.
        settings: how to score.
        models: the models; images that they have not scored together are new to them.
        form: how the scores are written.
        fingerprint: the settings that all scores in the folder share, as JSON values.

    Returns:
        The counts: `images` that were scored now; `changed`, those of them that were scored before with other content;
        images that were `quarantined` now, by reason; `known`, the image files in the ledger, of all models.

    Raises:
        UsageError: the folder holds scores of other settings, of a run that was killed.
        DataError: a folder of images does not exist, or the model is damaged.
        RunError: files could not be written, or were lost.
    """
    store = claimed.store
    ledger = Ledger.read(store)
    wanted = as_json(fingerprint)
    if len(ledger) and ledger.settings is not None and ledger.settings != wanted:
        raise UsageError(
            f"--out {store.uri} holds scores of other settings ({difference(ledger.settings, wanted)}), of a run that "
            "was killed: choose another, or say --overwrite"
        )
    ledger.settings = wanted
    if ledger.unpublished():
        log.info("finishing what a run that was killed left")
        claimed.take_up()
        _publish(claimed, ledger)
    found = find_images(patterns)
    name = NAMINGS[settings.image_index]
    new = _new(found, ledger, models.model_id, name)
    log.info("found %d images, %d of them new or changed", len(found.files), len(new))
    counts: dict[str, Any] = {"images": 0, "changed": 0, "quarantined": {}}
    if new:
        claimed.take_up()
        parts, aside = raw_parts(ImageFiles(new, 0), name, application.spark.sparkContext.defaultParallelism)
        entries = _score(application, store, parts, aside, settings, models, form, new)
        claimed.lock.check()
        taken_out = ledger.replace(entries)
        ledger.moved(_without(store, taken_out))
        claimed.lock.check()
        ledger.commit()
        _publish(claimed, ledger)
        quarantined = Counter(entry.reason for entry in entries if entry.reason is not None)
        counts = {
            "images": len(entries) - quarantined.total(),
            "changed": sum(map(len, taken_out.values())),
            "quarantined": dict(sorted(quarantined.items())),
        }
    return {**counts, "known": len(ledger)}


def _publish(claimed: Claim, ledger: Ledger) -> None:
    claimed.store.delete(DONE_NAME)  # meanwhile the folder is not whole
    ledger.publish()


def _new(found: ImageFiles, ledger: Ledger, model_id: str, name: Callable[[str, str], str]) -> list[ImageFile]:
    """Returns the files that are new, that have changed, or that the storage could not read in an earlier run.

    Where another scored file has the same image name, a file gets the problem `DUPLICATE_NAME`. Unchanged files that an
    earlier run set aside for such a name are not returned; every run warns of them again.
    """
    files = found.files
    uris = pa.array([printable(file.uri) for file in files], pa.string())
    names = pa.array([printable(name(file.uri, file.root)) for file in files], pa.string())
    known = ledger.known(uris, names, model_id)
    at = pc.index_in(uris, value_set=known["uri"])
    same_size = pc.equal(known["size"].take(at), pa.array([file.size for file in files], pa.int64()))
    same_time = pc.equal(known["modified"].take(at), pa.array([file.modified for file in files], pa.float64()))
    reasons = known["reason"].take(at)
    given = pc.fill_null(pc.not_equal(reasons, UNREADABLE), True)
    unchanged = pc.fill_null(pc.and_(pc.and_(same_size, same_time), given), False).to_numpy()
    waiting = unchanged & pc.fill_null(pc.equal(reasons, DUPLICATE_NAME), False).to_numpy()
    if waiting.any():
        log.warning(
            "%d of %d images are still not scored, as another image has their name, such as %r: %s",
            int(waiting.sum()),
            len(files),
            printable(files[int(np.argmax(waiting))].uri),
            APART,
        )
    scored = known.filter(pc.is_null(known["reason"]))
    owner = scored["uri"].take(pc.index_in(names, value_set=scored["image_index"]))
    taken = pc.fill_null(pc.not_equal(owner, uris), False).to_numpy()
    return [
        file._replace(problem=DUPLICATE_NAME) if taken[i] and file.problem is None else file
        for i, file in enumerate(files)
        if not unchanged[i]
    ]


def _score(
    application: Application,
    store: Store,
    parts: Sequence[RawPart],
    aside: pa.Table,
    settings: ScoreSettings,
    models: Models,
    form: ScoreForm,
    new: Sequence[ImageFile],
) -> list[Entry]:
    """Scores the new images into files below `_staged`, and returns the entries that the ledger gets for them."""
    spark = application.spark
    staged = store.child(STAGED)
    tag = f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{secrets.token_hex(4)}"
    scorer = PartScorer(
        out=staged.uri,
        tag=tag,
        model=models.ship(spark),
        data=None,
        labels=(),
        threads=threads_of_a_task(spark, max(1, len(parts))),
        batch=settings.batch,
        gate=DicomGate(**settings.dicom.model_dump()),
        form=form,
    )
    scored: list[ScoredPart] = run_image_parts(spark, parts, scorer, doing="scoring", done="scored")
    doubts_of(part.doubts for part in scored)
    files = {printable(file.uri): file for file in new}
    entries = []

    def enter(uri: str, image_index: str, name: str, reason: str | None) -> None:
        file = files[uri]
        entries.append(Entry(uri, file.size, file.modified, models.model_id, image_index, name, reason))

    if aside.num_rows:
        name = write_quarantine_part(staged, f"names-{tag}", aside)
        for row in aside.to_pylist():
            enter(row["uri"], row["image_index"], name, row["reason"])
    for part, result in zip(parts, scored, strict=True):
        rejected: dict[str, str] = {}
        for name in result.names:
            if name.startswith(QUARANTINE_FOLDER):
                for row in _read(staged, name).to_pylist():
                    rejected[row["uri"]] = row["reason"]
                    enter(row["uri"], row["image_index"], name, row["reason"])
        for name in result.names:
            if not name.startswith(QUARANTINE_FOLDER):
                for image in part.images:
                    if image.uri not in rejected:
                        enter(image.uri, image.image_index, name, None)
    return entries


def _without(store: Store, rows: dict[str, list[Entry]]) -> dict[str, str]:
    """Writes copies of files without the rows of some images, below `_staged`.

    Args:
        store: the output folder.
        rows: the entries whose rows are left out, by the name of the file that holds them.

    Returns:
        The name of the copy, for the name of each file.
    """
    staged = store.child(STAGED)
    moved = {}
    for name, entries in rows.items():
        table = _read(store, name)
        key = "uri" if "uri" in table.column_names else "image_index"
        gone = pa.array([getattr(entry, key) for entry in entries])
        left = table.filter(pc.invert(pc.is_in(table[key], gone)))
        folder, slash, base = name.rpartition("/")
        number = base.split("-")[1]  # its name is part-NUMBER-TAG.parquet
        moved[name] = f"{folder}{slash}part-{number}-rest-{secrets.token_hex(6)}.parquet"
        sink = pa.BufferOutputStream()
        pq.write_table(left, sink, compression="zstd")
        staged.write_bytes(moved[name], memoryview(sink.getvalue()))
    return moved


def _read(store: Store, name: str) -> pa.Table:
    return pq.read_table(pa.BufferReader(store.read_bytes(name)))
