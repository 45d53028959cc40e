"""All settings as one tree, and how it is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field, ValidationError, model_validator

from cxr_spark.config.explore import ExploreSettings
from cxr_spark.config.messages import describe
from cxr_spark.config.model import ModelSettings
from cxr_spark.config.pipeline import PipelineSettings
from cxr_spark.config.prepare import PrepareSettings
from cxr_spark.config.results import EvaluateSettings, ExplainSettings, ScoreSettings
from cxr_spark.config.section import Section
from cxr_spark.config.train import TrainSettings
from cxr_spark.config.tree import put, read_tree
from cxr_spark.config.yaml_12 import parse_yaml
from cxr_spark.errors import ConfigError


class Settings(Section):
    """All settings of the program."""

    prepare: PrepareSettings = Field(PrepareSettings(), description=PrepareSettings.__doc__)
    explore: ExploreSettings = Field(ExploreSettings(), description=ExploreSettings.__doc__)
    model: ModelSettings = Field(ModelSettings(), description=ModelSettings.__doc__)
    train: TrainSettings = Field(TrainSettings(), description=TrainSettings.__doc__)
    score: ScoreSettings = Field(ScoreSettings(), description=ScoreSettings.__doc__)
    evaluate: EvaluateSettings = Field(EvaluateSettings(), description=EvaluateSettings.__doc__)
    explain: ExplainSettings = Field(ExplainSettings(), description=ExplainSettings.__doc__)
    pipeline: PipelineSettings = Field(PipelineSettings(), description=PipelineSettings.__doc__)

    @model_validator(mode="after")
    def _check_ranks(self) -> Settings:
        train = self.train
        parts = train.workers * train.accumulate
        if train.global_batch % parts:
            low = train.global_batch // parts * parts
            by = f"train.workers {train.workers}"
            if train.accumulate > 1:
                by += f" times train.accumulate {train.accumulate}"
            raise ValueError(
                f"train.global_batch {train.global_batch} does not divide by {by}: use "
                + (f"{low} or {low + parts}" if low else f"{parts}")
            )
        return self

    @model_validator(mode="after")
    def _check_loss(self) -> Settings:
        if self.train.loss != "bce" and self.model.task == "single_label":
            raise ValueError(
                f"train.loss={self.train.loss} is for findings with a sigmoid each, and model.task=single_label has "
                "one softmax over all classes: use train.loss=bce, or model.task=multi_label"
            )
        return self

    def updated(self, changes: Mapping[str, Any]) -> Settings:
        """Returns settings with some values replaced.

        Args:
            changes: dotted name to value; None leaves the setting as it is, as an option that was not given does.

        Raises:
            ConfigError: a name is unknown or a value does not fit.
        """
        tree = self.model_dump()
        for name, value in changes.items():
            if value is not None:
                put(tree, name, value)
        return _validated(tree, "")


def load_settings(uri: str | None, overrides: Sequence[str] = ()) -> Settings:
    """Reads settings.

    Args:
        uri: a YAML file, or None for the defaults.
        overrides: `section.name=value` pairs; the value is YAML.

    Raises:
        ConfigError: the file is missing or not YAML, a name is unknown, or a value does not fit. All that is wrong is
            told at once.
    """
    tree: dict[str, Any] = read_tree(uri) if uri else {}
    for override in overrides:
        name, equals, text = override.partition("=")
        if not equals or not name.strip():
            raise ConfigError(f"--set {override!r}: expected section.name=value, such as train.epochs=3")
        try:
            value = parse_yaml(text)
        except ValueError:
            value = text  # a text that only looks like YAML, such as `*.png`
        put(tree, name.strip(), value)
    sources = [f"--config {uri}"] if uri else []
    return _validated(tree, " and ".join([*sources, "--set"] if overrides else sources))


def _validated(tree: dict[str, Any], source: str) -> Settings:
    try:
        return Settings.model_validate(tree)
    except ValidationError as error:
        told = describe(error, Settings)
        raise ConfigError(f"{source}: {told}" if source else told) from None
