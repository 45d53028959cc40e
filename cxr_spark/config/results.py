"""Settings of the jobs that use a trained model."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from cxr_spark.config.section import Section, Seed, from_commas, to_commas

_SPLITS = ("train", "val", "test")


def _check_splits(value: str) -> str:
    names = value.split(",")
    if value != "all" and (len(set(names)) < len(names) or not set(names) <= set(_SPLITS)):
        raise ValueError(f"expected all, or one or more of {', '.join(_SPLITS)} with commas between them")
    return value


class ScoreSettings(Section):
    """How to score."""

    split: Annotated[str, BeforeValidator(to_commas), AfterValidator(_check_splits)] = Field(
        "test", description="which split of prepared data to score: train, val, test, several such as val,test, or all"
    )
    batch: int = Field(32, ge=1, le=4096, description="images per forward pass")
    image_index: Literal["name", "path"] = Field(
        "name", description="what a raw image is called: its file's name, or its path below the folder that is searched"
    )


class EvaluateSettings(Section):
    """How to evaluate."""

    split: Literal["train", "val", "test", "all"] = Field(
        "all",
        description="whose images are evaluated; with one of them the AUCs of the other splits in the predictions "
        "stand beside, and thresholds are chosen on val",
    )
    task: Literal["auto", "multi_label", "single_label"] = Field(
        "auto",
        description="multi_label: each finding is decided on by a threshold; single_label: the most probable class; "
        "auto: what the predictions say, else multi_label",
    )
    baseline: str | None = Field(None, description="URI of predictions of another model, to compare with")
    index_column: str | None = Field(
        None,
        description="the column of another tool's predictions that names the images; default: Image Index, image_id, "
        "path, filename or the like, whichever is there",
    )
    prob_prefix: str | None = Field(
        None,
        description="what comes before the finding in the names of the columns of probabilities; default: prob_, or "
        "nothing where no column begins so",
    )
    scores: Literal["probabilities", "logits"] = Field(
        "probabilities",
        description="what the numbers in another tool's predictions are; logits become probabilities by a sigmoid, or "
        "by a softmax where task is single_label",
    )
    replicates: int = Field(1000, ge=0, le=100_000, description="bootstrap replicates of the intervals; 0: none")
    seed: Seed = Field(42, description="seed of the bootstrap")


class ExplainSettings(Section):
    """What to explain, and how."""

    split: Literal["train", "val", "test", "all"] = Field("test", description="which split of prepared data to explain")
    only: Literal["all", "boxed"] = Field(
        "all", description="boxed: only images that have a box of the model's findings"
    )
    limit: int | None = Field(None, ge=1, description="explain the first so many images; default: all")
    finding: str = Field("top", description="whose evidence is shown; top: each image's most probable finding")
    layers: Annotated[tuple[str, ...], BeforeValidator(from_commas)] = Field(
        (), description="layers whose maps are drawn, too, such as layer1,layer4.2.conv3"
    )
    batch: int = Field(16, ge=1, le=4096, description="images per forward pass")
    image_index: Literal["name", "path"] = Field(
        "name", description="what a raw image is called: see score.image_index"
    )
    boxes: str | None = Field(
        None, description="URI of radiologists' boxes: NIH's BBox_List_2017.csv, or RSNA's stage_2_train_labels.csv"
    )
    box_side: int | None = Field(
        1024, ge=1, description="side of the images on which boxes were drawn, pixels; null: they are the images given"
    )
    threshold: float = Field(
        180 / 255, gt=0, lt=1, description="part of a map's maximum from which it counts as overlap with a box"
    )
