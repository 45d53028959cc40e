"""The jobs that make and show a prepared dataset, as functions.

Arguments, settings and errors follow the rules of `cxr_spark.python_api`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cxr_spark.outputs.job import Execution
from cxr_spark.outputs.run_job import run_job
from cxr_spark.python_api.settings import Group, Paths, settings_of, several

if TYPE_CHECKING:
    from cxr_spark.exploration.job import ExploreResult
    from cxr_spark.preparation.job import PrepareResult


def prepare(
    *,
    out: str,
    images: Paths | None = None,
    labels: Paths | None = None,
    dataset: str | None = None,
    split: str | None = None,
    train_list: str | None = None,
    test_list: str | None = None,
    val_fraction: float | None = None,
    test_fraction: float | None = None,
    size: int | None = None,
    resize: str | None = None,
    seed: int | None = None,
    max_bad_fraction: float | None = None,
    image_column: str | None = None,
    patient_column: str | None = None,
    split_column: str | None = None,
    view_column: str | None = None,
    sex_column: str | None = None,
    age_column: str | None = None,
    finding_columns: Sequence[str] | None = None,
    findings_column: str | None = None,
    findings_separator: str | None = None,
    patient_pattern: str | None = None,
    prepare: Group | None = None,
    config: str | None = None,
    overwrite: bool = False,
) -> PrepareResult:
    """Reads, checks and resizes images, joins their labels, splits by patient, and writes a prepared dataset.

    Args:
        out: folder of the prepared dataset.
        images: folders or globs with the images; one, or several.
        labels: label files; one, or several; none for class folders.
        dataset: nih, chexpert, rsna, folder or csv.
        split: official, patient or column.
        train_list: official list of training images; by default beside the labels.
        test_list: official list of test images; by default beside the labels.
        val_fraction: fraction of the training patients for validation.
        test_fraction: part of all patients for testing, with `split="patient"`.
        size: side of the stored images, in pixels.
        resize: squash, pad or crop.
        seed: seed of all draws.
        max_bad_fraction: the job fails if more of the labelled images are bad.
        image_column: with `dataset="csv"`, as all that end in `_column`: the column that names the images.
        patient_column: the column of patients.
        split_column: the column of splits.
        view_column: the column of view positions.
        sex_column: the column of sexes.
        age_column: the column of ages.
        finding_columns: columns of one finding each.
        findings_column: the column that names an image's findings.
        findings_separator: what stands between these names.
        patient_pattern: regular expression with one group, the patient in an image's name or path.
        prepare: further settings of the group `prepare`, such as `uncertain`.
        config: URI of a settings file.
        overwrite: whether to replace the output of another run.

    Raises:
        UsageError: an argument or setting cannot work.
        DataError: the images or labels are not what they should be.
        RunError: the work failed.
    """
    from cxr_spark.preparation.job import PrepareJob

    job = PrepareJob.from_options(
        settings_of(config, {"prepare": prepare}),
        out=out,
        images=several(images),
        labels=several(labels),
        dataset=dataset,
        split=split,
        train_list=train_list,
        test_list=test_list,
        val_fraction=val_fraction,
        test_fraction=test_fraction,
        size=size,
        resize=resize,
        seed=seed,
        max_bad_fraction=max_bad_fraction,
        image_column=image_column,
        patient_column=patient_column,
        split_column=split_column,
        view_column=view_column,
        sex_column=sex_column,
        age_column=age_column,
        finding_columns=finding_columns,
        findings_column=findings_column,
        findings_separator=findings_separator,
        patient_pattern=patient_pattern,
    )
    return run_job(job, Execution(overwrite=overwrite, config=config))


def explore(
    *,
    data: str,
    out: str,
    pictures: str | None = None,
    explore: Group | None = None,
    config: str | None = None,
    overwrite: bool = False,
) -> ExploreResult:
    """Shows what is in a prepared dataset: class balance, patients, ages, shapes and grey values, as a page.

    Args:
        data: output of `prepare`.
        out: folder of explore.json, explore.html and the plots.
        pictures: show, or leave_out for a page without pictures of single images.
        explore: settings of the group `explore`.
        config: URI of a settings file.
        overwrite: whether to replace the output of another run.

    Raises:
        UsageError: an argument cannot work.
        DataError: the prepared data are damaged.
        RunError: the work failed.
    """
    from cxr_spark.exploration.job import ExploreJob

    job = ExploreJob.from_options(settings_of(config, {"explore": explore}), data=data, out=out, pictures=pictures)
    return run_job(job, Execution(overwrite=overwrite, config=config))
