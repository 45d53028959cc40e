"""Settings that say how a label file is read whose layout is not that of a public dataset."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from cxr_spark.config.section import Section, from_commas

UncertainPolicy = Literal["zeros", "ones", "ignore"]


class LabelSettings(Section):
    """What the columns of a label file mean. All but `uncertain` and `patient_pattern` are for dataset=csv."""

    uncertain: UncertainPolicy | dict[str, UncertainPolicy] | None = Field(
        None,
        description="what uncertain labels (-1) of chexpert and csv become: zeros, ones or ignore (left out of the "
        "loss; the default); or {FINDING: one of these}",
    )
    blank: Literal["zeros", "ignore"] | None = Field(
        None,
        description="with dataset=csv: what an empty cell of a finding means; zeros: the finding is absent; ignore: it "
        "is not known and left out of the loss (the default)",
    )
    image_column: str | None = Field(
        None,
        description="with dataset=csv: the column that names the images; default: Image Index, image_id, path, "
        "filename or the like, whichever is there",
    )
    patient_column: str | None = Field(
        None, description="with dataset=csv: the column of patients; default: patient_id, subject_id or the like"
    )
    split_column: str | None = Field(
        None, description="with dataset=csv: the column of splits (train, val, test); default: split or the like"
    )
    view_column: str | None = Field(
        None, description="with dataset=csv: the column of view positions; default: view_position, view or the like"
    )
    sex_column: str | None = Field(None, description="with dataset=csv: the column of sexes; default: sex or gender")
    age_column: str | None = Field(None, description="with dataset=csv: the column of ages; default: age or the like")
    finding_columns: Annotated[tuple[str, ...], BeforeValidator(from_commas)] = Field(
        (),
        description="with dataset=csv: columns that each hold 1, 0, -1 (uncertain) or nothing for one finding; "
        "default: all columns that hold nothing else and mean nothing else",
    )
    findings_column: str | None = Field(
        None,
        description="with dataset=csv: the column that names an image's findings; default: findings, labels, diagnosis "
        "or the like, where no columns of single findings are there",
    )
    findings_separator: str | None = Field(
        None,
        min_length=1,
        max_length=10,
        description="with dataset=csv: what stands between the names of findings in a cell; default: | or ; or a "
        "comma, whichever is there",
    )
    patient_pattern: str | None = Field(
        None,
        max_length=1000,
        description="regular expression with one group, which is the patient in an image's name or path, such as "
        "'(p[0-9]+)_'; it goes before a column",
    )

    @field_validator("patient_pattern")
    @classmethod
    def _has_one_group(cls, pattern: str | None) -> str | None:
        if pattern is None:
            return None
        try:
            groups = re.compile(pattern).groups
        except re.error as error:
            raise ValueError(f"is no regular expression ({error})") from None
        if groups != 1:
            raise ValueError(f"has {groups} groups, expected one: the patient, as in '(p[0-9]+)_'")
        return pattern

    @model_validator(mode="after")
    def _one_kind_of_findings(self) -> LabelSettings:
        if self.finding_columns and self.findings_column is not None:
            raise ValueError(
                "prepare.finding_columns (one finding each) and prepare.findings_column (names of findings) exclude "
                "each other: give one of them"
            )
        return self
