"""The pictures of the worst mistakes: images of the prepared data, and maps of the explain job."""

from __future__ import annotations

from dataclasses import replace

from cxr_spark.evaluation.computation import Evaluation
from cxr_spark.evaluation.reading.explanations import Explanations, models_of
from cxr_spark.evaluation.report.mistakes import KINDS, Pictures
from cxr_spark.evaluation.report.overlays import overlays_of, told_of_overlays
from cxr_spark.evaluation.report.rows import Numbers
from cxr_spark.reporting.images_read import ImagesRead
from cxr_spark.reporting.thumbnails import in_turn, thumbnails, uses_in_turn
from cxr_spark.tables.prepared import PreparedDataset
from cxr_spark.tables.prepared_pixels import find_pixels

#: The side of a picture in pixels. The page shows it a little smaller, for screens with fine pixels.
_SIDE = 160
#: The characters that all pictures of a page may take together, so that it stays below 3 MB.
_MOST_CHARACTERS = 1_600_000


def pictures_of(metrics: Numbers, dataset: PreparedDataset | None, explanations: Explanations | None) -> Pictures:
    """Makes the pictures of the images with mistakes. The maps take the room that the images leave in the page.

    Args:
        metrics: the content of metrics.json.
        dataset: the prepared data; None for maps alone.
        explanations: the output of explain, of the evaluated model; None for images alone.

    Raises:
        DataError: a file of the data is gone or damaged, or the record of explain is.
        RunError: a file cannot be read.
    """
    findings = metrics["mistakes"]["findings"]
    lists = [
        [(image["image_index"], finding) for image in found[kind]]
        for finding, found in findings.items()
        for kind in KINDS
    ]
    uses = uses_in_turn([name for name, _ in each] for each in lists)
    pictures, left = Pictures({}), _MOST_CHARACTERS
    if dataset is not None:
        found = find_pixels(dataset, uses)
        made = thumbnails(found, uses, _SIDE, _MOST_CHARACTERS)
        pictures = Pictures(made, absent=len(uses) - len(found), left_out=len(found) - len(made))
        left -= sum(uses[name] * len(picture) for name, picture in made.items())
    if explanations is None:
        return pictures
    own_names = {called: own for own, called in metrics["findings_called"].items()}
    overlays = overlays_of(explanations, in_turn(lists), _SIDE, left, own_names)
    models = models_of(metrics["model_id"])
    return replace(pictures, overlays=replace(overlays, models=max(1, len(models))))


def told_missing(pictures: Pictures, data: str) -> list[str]:
    """Says which pictures are not there, in sentences for the report.

    Args:
        pictures: the pictures that were made.
        data: the URI of the prepared data.
    """
    told: list[str] = []
    if pictures.absent:
        told.append(
            f"{pictures.absent:,} of the images with the worst mistakes are not in {data}, so they have no picture."
        )
    if pictures.left_out:
        told.append(f"{pictures.left_out:,} pictures of mistakes are left out to keep this page small.")
    return told


def illustrated(
    evaluation: Evaluation,
    dataset: PreparedDataset | None,
    explanations: Explanations | None,
    scored: ImagesRead | None = None,
) -> Evaluation:
    """Returns an evaluation with the pictures of its mistakes, and with warnings of those that are not there.

    Maps of another model than that of the predictions are left out, and told; where the predictions do not say which
    model made them, or the maps are of one of several models or of other images, they are shown with a warning.

    Args:
        evaluation: the evaluation, whose warnings are added to.
        dataset: the prepared data; None where none were given.
        explanations: the output of explain; None where none was given.
        scored: the images that the predictions are of; None where that is not known.

    Raises:
        DataError: see `pictures_of`.
        RunError: see `pictures_of`.
    """
    if dataset is None and explanations is None:
        return evaluation
    metrics = evaluation.metrics
    if explanations is not None and not explanations.is_of(metrics["model_id"]):
        metrics["warnings"].append(f"--explanations: {explanations.told_other(metrics['model_id'])}")
        explanations = explanations if metrics["model_id"] is None else None
    if explanations is not None:
        metrics["warnings"] += [f"--explanations: {told}" for told in explanations.doubts(metrics["model_id"], scored)]
    pictures = pictures_of(metrics, dataset, explanations)
    metrics["warnings"] += told_missing(pictures, dataset.store.uri if dataset else "")
    if explanations is not None and pictures.overlays is not None:
        metrics["warnings"] += told_of_overlays(pictures.overlays, explanations.store.uri)
    return replace(evaluation, pictures=pictures)
