"""Settings of the preparation."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator

from cxr_spark.config.section import Section, Seed, as_list

UncertainPolicy = Literal["zeros", "ones", "ignore"]


class SubsetSettings(Section):
    """Which of the labelled images to take; an image of which it is not known is left out."""

    sex: Literal["F", "M"] | None = Field(None, description="of this sex")
    view_position: Annotated[tuple[Literal["PA", "AP", "LATERAL"], ...], BeforeValidator(as_list)] = Field(
        (), description="of one of these views"
    )
    age: tuple[Annotated[float, Field(ge=0)], Annotated[float, Field(ge=0)]] | None = Field(
        None, description="from the first to the second age, years, both included"
    )

    @field_validator("age")
    @classmethod
    def _in_order(cls, age: tuple[float, float] | None) -> tuple[float, float] | None:
        if age is not None and age[0] > age[1]:
            raise ValueError("expected the lower age first, such as [18, 90]")
        return age


class PrepareSettings(Section):
    """What to prepare, and how."""

    images: Annotated[tuple[str, ...], BeforeValidator(as_list)] = Field(
        (), description="folders or globs with the images, searched with all below them"
    )
    labels: Annotated[tuple[str, ...], BeforeValidator(as_list)] = Field(
        (), description="URIs of the label files, mostly one; .gz is understood; none for class folders"
    )
    dataset: Literal["nih", "chexpert", "rsna", "folder"] = Field("nih", description="layout of images and labels")
    uncertain: UncertainPolicy | dict[str, UncertainPolicy] | None = Field(
        None,
        description="chexpert: what uncertain labels become: zeros, ones or ignore (masked in the loss, the default); "
        "or {FINDING: one of these}",
    )
    positive_class: str | None = Field(
        None, description="folder: the class that is the one finding, all others being its absence"
    )
    subset: SubsetSettings = Field(SubsetSettings(), description="which of the labelled images to take")
    sample: dict[str, Annotated[int, Field(ge=0)]] = Field(
        {},
        description="exact numbers of images to draw: {CLASS: N}; an image belongs to the class that is its only "
        "finding, or to `none`; classes that are not named are left out",
    )
    split: Literal["official", "patient", "column"] | None = Field(
        None,
        description="official: the lists or splits of the dataset's makers; patient: drawn by patient; column: the "
        "label file's own, or that of folders train, val, test; default: what the dataset has, or patient",
    )
    train_list: str | None = Field(None, description="URI of the official list of training images")
    test_list: str | None = Field(None, description="URI of the official list of test images")
    val_fraction: float = Field(0.1, ge=0, lt=1, description="part of the training patients set aside for validation")
    test_fraction: float = Field(0.2, ge=0, lt=1, description="part of all patients for testing, with split=patient")
    size: int = Field(224, ge=16, le=2048, description="side of the stored square images, in pixels")
    resize: Literal["squash", "pad", "crop"] = Field("squash", description="how an image becomes a square")
    white_level: int | None = Field(
        None,
        ge=1,
        le=65535,
        description="value that is white in PNG files of 16 bits, such as 4095 where they hold 12 bits; default: 65535",
    )
    seed: Seed = Field(42, description="seed of every draw of splits and samples")
    max_bad_fraction: float = Field(0.01, ge=0, le=1, description="the job fails if more of the images are bad")
