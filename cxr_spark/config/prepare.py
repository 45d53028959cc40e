"""Settings of the preparation."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator

from cxr_spark.config.labels import LabelSettings, UncertainPolicy
from cxr_spark.config.section import DicomSettings, Section, Seed, as_list

__all__ = ["PrepareSettings", "SubsetSettings", "UncertainPolicy"]


class SubsetSettings(Section):
    """Which of the labelled images are taken. Where a limit is set, images without that value are left out."""

    sex: Literal["F", "M"] | None = Field(None, description="only images of patients of this sex")
    view_position: Annotated[tuple[Literal["PA", "AP", "LATERAL"], ...], BeforeValidator(as_list)] = Field(
        (), description="only images of one of these view positions"
    )
    age: tuple[Annotated[float, Field(ge=0, le=1000)], Annotated[float, Field(ge=0, le=1000)]] | None = Field(
        None, description="only patients from the first to the second age in years, both included, such as [18, 90]"
    )

    @field_validator("age")
    @classmethod
    def _in_order(cls, age: tuple[float, float] | None) -> tuple[float, float] | None:
        if age is not None and age[0] > age[1]:
            raise ValueError("expected the lower age first, such as [18, 90]")
        return age


class PrepareSettings(LabelSettings):
    """What is prepared, and how."""

    images: Annotated[tuple[str, ...], BeforeValidator(as_list)] = Field(
        (), description="folders or globs of the images; all folders below them are searched, too"
    )
    labels: Annotated[tuple[str, ...], BeforeValidator(as_list)] = Field(
        (), description="URIs of the label files, which may be compressed by gzip; leave it out for class folders"
    )
    dataset: Literal["nih", "chexpert", "rsna", "folder", "csv"] = Field(
        "nih",
        description="the dataset whose layout images and labels have; csv: any table with columns of your own",
    )
    positive_class: str | None = Field(
        None,
        description="with dataset=folder: the class that becomes the only finding; all others mean that it is absent",
    )
    subset: SubsetSettings = Field(SubsetSettings(), description="which of the labelled images are taken")
    sample: dict[str, Annotated[int, Field(ge=0, le=2**40)]] = Field(
        {},
        description="how many images of each class are drawn: {CLASS: N}; an image belongs to the class that is its "
        "only finding, or to `none`; classes that are not named are left out",
    )
    split: Literal["official", "patient", "column"] | None = Field(
        None,
        description="how images are split; official: by the lists or splits of the dataset's makers; patient: drawn by "
        "patient; column: by a column of the label file, or by folders train, val, test; default: official where the "
        "dataset has it, else patient",
    )
    train_list: str | None = Field(None, description="URI of the list of training images, for split=official")
    test_list: str | None = Field(None, description="URI of the list of test images, for split=official")
    val_fraction: float = Field(
        0.1, ge=0, lt=1, description="fraction of the training patients that is set aside for validation"
    )
    test_fraction: float = Field(
        0.2, ge=0, lt=1, description="fraction of all patients that is used for testing, with split=patient"
    )
    size: int = Field(224, ge=16, le=2048, description="side of the stored square images in pixels")
    resize: Literal["squash", "pad", "crop"] = Field(
        "squash", description="how an image becomes a square: squeezed, with black borders, or cut out of its middle"
    )
    white_level: int | None = Field(
        None,
        ge=1,
        le=65535,
        description="value that is white in PNG files of 16 bits, such as 4095 where they hold 12 bits; default: 65535",
    )
    dicom: DicomSettings = Field(DicomSettings(), description=DicomSettings.__doc__)
    seed: Seed = Field(42, description="seed of all draws of splits and samples")
    max_bad_fraction: float = Field(
        0.01, ge=0, le=1, description="largest fraction of bad images; with more of them the job fails"
    )
