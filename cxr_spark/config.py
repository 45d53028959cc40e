"""Every setting of the pipeline, with type, default, range and meaning.

Settings come from a YAML file (`--config`), then `--set section.name=value`, then a command's own options; later ones
win. Names that are not known are refused.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from cxr_spark.errors import ConfigError
from cxr_spark.storage import read_uri, resolve

#: A settings file is a page of text. A larger one is some other file.
_MAX_YAML_BYTES = 1 << 20


class Section(BaseModel):
    """Base of every group of settings: immutable, unknown names refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class PrepareSettings(Section):
    """What to prepare, and how."""

    images: tuple[str, ...] = Field((), description="folders or globs with the images, searched with all below them")
    labels: str | None = Field(None, description="URI of the label file; .gz is understood")
    dataset: Literal["nih", "chexpert", "folder"] = Field("nih", description="layout of images and labels")
    split: Literal["official", "patient", "column"] = Field(
        "official", description="official: the two lists; patient: drawn by patient; column: the label file's own"
    )
    train_list: str | None = Field(None, description="URI of the official list of training images")
    test_list: str | None = Field(None, description="URI of the official list of test images")
    val_fraction: float = Field(0.1, ge=0, lt=1, description="part of the training patients set aside for validation")
    test_fraction: float = Field(0.2, ge=0, lt=1, description="part of all patients for testing, with split=patient")
    size: int = Field(224, ge=16, le=2048, description="side of the stored square images, in pixels")
    resize: Literal["squash", "pad", "crop"] = Field("squash", description="how an image becomes a square")
    seed: int = Field(42, ge=0, description="seed of every draw in the split")
    max_bad_fraction: float = Field(0.01, ge=0, le=1, description="the job fails if more of the images are bad")


class ModelSettings(Section):
    """The network."""

    architecture: str = Field("resnet50", description="one of the names that `import-weights --help` lists")
    weights: str = Field("random", description="random, a URI of imported weights or a model, or a torchvision name")
    input_size: int | None = Field(None, ge=16, le=2048, description="side of the input; default: the architecture's")
    dropout: float = Field(0.0, ge=0, lt=1, description="dropout before the last layer")
    hidden: tuple[int, ...] = Field((), description="widths of dense layers between the network and its outputs")
    freeze: Literal["none", "backbone"] | dict[Literal["until", "last"], str | int] = Field(
        "none", description="none, backbone, {until: LAYER} or {last: N}: what keeps its weights"
    )


class ScheduleSettings(Section):
    """The learning rate over time: a linear warm-up by step, then a schedule by epoch."""

    warmup_epochs: float = Field(0.0, ge=0, description="epochs over which the rate rises to train.learning_rate")
    warmup_start: float = Field(1e-7, ge=0, description="the rate of the first step of the warm-up")
    kind: Literal["constant", "plateau", "cosine"] = Field("plateau", description="what follows the warm-up")
    metric: Literal["val_loss", "train_loss", "val_macro_auc"] = Field("val_loss", description="what a plateau is of")
    factor: float = Field(0.1, gt=0, lt=1, description="a plateau multiplies the rate by this")
    patience: int = Field(2, ge=0, description="epochs without improvement that make a plateau")
    min_delta: float = Field(1e-4, ge=0, description="an improvement is at least this much")
    min_rate: float = Field(1e-8, ge=0, description="the rate never falls below this")


class EarlyStopSettings(Section):
    """When to stop before the last epoch."""

    metric: Literal["val_loss", "val_macro_auc"] = Field("val_macro_auc", description="what has to improve")
    patience: int = Field(0, ge=0, description="stop after so many epochs without improvement; 0: never")
    min_delta: float = Field(0.0, ge=0, description="an improvement is more than this")


class TrainSettings(Section):
    """How to train."""

    backend: Literal["torch"] = Field("torch", description="what trains")
    workers: int = Field(1, ge=1, description="training processes (ranks); on a cluster one Spark task each")
    epochs: int = Field(15, ge=1, description="passes over the training images")
    global_batch: int = Field(64, ge=1, description="images per step over all ranks")
    optimizer: Literal["adam", "adamw", "sgd", "rmsprop"] = Field("adam", description="optimiser")
    learning_rate: float = Field(1e-4, gt=0, description="learning rate, after any warm-up")
    weight_decay: float = Field(0.0, ge=0, description="weight decay on all but biases and normalisation")
    momentum: float = Field(0.9, ge=0, lt=1, description="momentum of sgd and rmsprop")
    precision: Literal["auto", "fp32", "bf16"] = Field("auto", description="auto: bf16 where the hardware gains by it")
    loss_weights: Literal["none", "positive"] = Field(
        "none", description="positive: positives weigh negatives / positives, at most 20, per finding"
    )
    seed: int = Field(42, ge=0, description="seed of initial weights, order, augmentation and dropout")
    threads_per_worker: int | None = Field(None, ge=1, description="CPU threads of a rank; default: cores it may use")
    max_restarts: int = Field(3, ge=0, description="how often a died job is started again from its last checkpoint")
    checkpoint_every_steps: int = Field(0, ge=0, description="also checkpoint within epochs; 0: after epochs only")
    keep_checkpoints: int = Field(2, ge=1, description="latest checkpoints kept, beside the best ones")
    rank_timeout: float = Field(600, gt=0, description="seconds after which a rank that does not answer is lost")
    schedule: ScheduleSettings = Field(ScheduleSettings(), description="learning rate over time")
    early_stop: EarlyStopSettings = Field(EarlyStopSettings(), description="stop before the last epoch")
    augmentations: tuple[dict[str, dict[str, Any]], ...] = Field(
        ({"random_horizontal_flip": {"p": 0.5}},), description="random stages, drawn anew for each image and epoch"
    )


class ScoreSettings(Section):
    """How to score."""

    split: Literal["train", "val", "test", "all"] = Field("test", description="which split of prepared data to score")
    batch: int = Field(32, ge=1, le=4096, description="images per forward pass")
    image_index: Literal["name", "path"] = Field(
        "name", description="what a raw image is called: its file's name, or its path below the folder that is searched"
    )


class EvaluateSettings(Section):
    """How to evaluate."""

    replicates: int = Field(1000, ge=0, le=100_000, description="bootstrap replicates of the intervals; 0: none")
    seed: int = Field(42, ge=0, description="seed of the bootstrap")


class PipelineSettings(Section):
    """Which jobs run, and where their outputs go."""

    out: str | None = Field(None, description="folder for the outputs of all jobs: prepared, run, scores, evaluation")
    steps: tuple[Literal["prepare", "train", "score", "evaluate"], ...] = Field(
        ("prepare", "train", "score", "evaluate"), description="jobs in order", min_length=1
    )
    spark: dict[Literal["all", "prepare", "train", "score", "evaluate"], dict[str, str]] = Field(
        {}, description="Spark settings of all jobs, and of single ones, such as {train: {spark.task.cpus: '8'}}"
    )


class Settings(Section):
    """All settings."""

    prepare: PrepareSettings = Field(PrepareSettings(), description=PrepareSettings.__doc__)
    model: ModelSettings = Field(ModelSettings(), description=ModelSettings.__doc__)
    train: TrainSettings = Field(TrainSettings(), description=TrainSettings.__doc__)
    score: ScoreSettings = Field(ScoreSettings(), description=ScoreSettings.__doc__)
    evaluate: EvaluateSettings = Field(EvaluateSettings(), description=EvaluateSettings.__doc__)
    pipeline: PipelineSettings = Field(PipelineSettings(), description=PipelineSettings.__doc__)

    @model_validator(mode="after")
    def _check_ranks(self) -> Settings:
        if self.train.global_batch % self.train.workers:
            low = self.train.global_batch // self.train.workers * self.train.workers
            raise ValueError(
                f"train.global_batch {self.train.global_batch} does not divide by train.workers {self.train.workers}: "
                f"use {low or self.train.workers} or {low + self.train.workers}"
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
                _put(tree, name, value)
        return _validated(tree, "the command line")


def load_settings(uri: str | None, overrides: Sequence[str] = ()) -> Settings:
    """Reads settings.

    Args:
        uri: a YAML file, or None for the defaults.
        overrides: `section.name=value` pairs; the value is YAML.

    Raises:
        ConfigError: the file is missing or not YAML, a name is unknown, or a value does not fit.
    """
    tree: dict[str, Any] = _read_yaml(uri) if uri else {}
    for override in overrides:
        name, equals, text = override.partition("=")
        if not equals or not name.strip():
            raise ConfigError(f"--set {override!r}: expected section.name=value, such as train.epochs=3")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError:
            value = text
        _put(tree, name.strip(), value)
    return _validated(tree, uri or "--set")


def _put(tree: dict[str, Any], name: str, value: Any) -> None:
    *path, last = name.split(".")
    here = tree
    for i, part in enumerate(path):
        following = here.setdefault(part, {})
        if not isinstance(following, dict):
            raise ConfigError(f"--set {name}: {'.'.join(path[: i + 1])} is a value, not a group of settings")
        here = following
    here[last] = value


class _UniqueKeys(yaml.SafeLoader):
    """A safe loader that refuses a key that stands twice: the second would win, silently."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = key_node.value
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key!r} stands twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


def _read_yaml(uri: str) -> dict[str, Any]:
    try:
        data = read_uri(resolve(uri))
    except FileNotFoundError:
        raise ConfigError(f"--config {uri!r}: no such file") from None
    if len(data) > _MAX_YAML_BYTES:
        raise ConfigError(f"--config {uri!r} has {len(data):,} bytes: expected a YAML settings file, a page of text")
    try:
        tree = yaml.load(data.decode(), Loader=_UniqueKeys)
    except UnicodeDecodeError:
        raise ConfigError(f"--config {uri!r} is not text: expected a YAML settings file") from None
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"--config {uri!r} is not YAML: {' '.join(str(error).split())}") from None
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise ConfigError(f"--config {uri!r}: expected groups such as `train:`, found {type(tree).__name__}")
    return tree


def _validated(tree: dict[str, Any], source: str) -> Settings:
    try:
        return Settings.model_validate(tree)
    except ValidationError as error:
        first = error.errors()[0]
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        raise ConfigError(f"{source}: {_message(first)}{more}") from None


def _message(problem: Any) -> str:
    name = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        known = _names_at(problem["loc"][:-1])
        near = difflib.get_close_matches(str(problem["loc"][-1]), known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known)}"
        return f"unknown setting {name!r}: {hint}"
    text = problem["msg"].removeprefix("Value error, ")
    if not name:
        return str(text)
    return f"{name}={problem['input']!r}: {text[0].lower()}{text[1:]} (see `cxr-spark config --schema`)"


def _names_at(loc: Sequence[Any]) -> list[str]:
    model: type[BaseModel] = Settings
    for part in loc:
        field = model.model_fields.get(str(part))
        if field is None or not (isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)):
            return []
        model = field.annotation
    return list(model.model_fields)
