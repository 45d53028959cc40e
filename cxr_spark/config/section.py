"""What all groups of settings share."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

#: What a training's history measures; see `cxr_spark.training.schedule`.
Metric = Literal["train_loss", "val_loss", "val_macro_auc", "val_micro_auc", "val_accuracy"]
Seed = Annotated[int, Field(ge=0, lt=2**63)]


class Section(BaseModel):
    """Base of every group of settings: immutable, unknown names refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _empty_groups(cls, data: Any) -> Any:
        """Ignores groups without settings. If a file has all of them commented out, only the group's name is left."""
        if not isinstance(data, dict):
            return data
        groups = {name for name, field in cls.model_fields.items() if is_section(field.annotation)}
        return {name: value for name, value in data.items() if not (name in groups and value is None)}

    @field_validator("*", mode="before")
    @classmethod
    def _no_booleans(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuses true and false, which pydantic would take for 1 and 0. No setting is a switch."""
        if any(isinstance(item, bool) for item in (value if isinstance(value, list | tuple) else [value])):
            raise ValueError("expected no true or false: put the word in quotes if it is a text")
        return value

    def at_default(self, *names: str) -> set[str]:
        """Returns which of some settings have their defaults.

        A job leaves them out of its fingerprint where an earlier version did not have these settings: what that version
        did is then recognised as the same work, and stays finished.
        """
        fields = type(self).model_fields
        return {name for name in names if getattr(self, name) == fields[name].default}


class DicomSettings(Section):
    """What becomes of DICOM images that are no frontal chest radiographs by their headers.

    Each is refuse (it is set aside), warn (it is taken, counted and warned of) or take.
    """

    modality: Literal["refuse", "warn", "take"] = Field(
        "refuse", description="images of another Modality than CR, DX, RG or DR, such as CT"
    )
    body_part: Literal["refuse", "warn", "take"] = Field(
        "refuse", description="images whose BodyPartExamined is not the chest"
    )
    view: Literal["refuse", "warn", "take"] = Field(
        "warn", description="images whose ViewPosition is neither PA nor AP"
    )


def is_section(annotation: Any) -> bool:
    """Whether a field is a group of settings."""
    return isinstance(annotation, type) and issubclass(annotation, Section)


def as_list(value: Any) -> Any:
    """Turns a single text into a list that holds it."""
    return (value,) if isinstance(value, str) else value


def from_commas(value: Any) -> Any:
    """Splits a text at its commas into a list."""
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def as_text(value: Any) -> Any:
    """Turns a number or a truth value of YAML into the text that Spark's settings use for it."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else value


def to_commas(value: Any) -> Any:
    """Joins a list of texts into one text with commas between them; blanks are dropped."""
    parts = value.split(",") if isinstance(value, str) else value
    fits = isinstance(parts, list | tuple) and all(isinstance(part, str) for part in parts)
    return ",".join(part.strip() for part in parts) if fits else value
