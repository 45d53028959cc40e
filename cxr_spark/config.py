"""Every setting of the pipeline, with type, default, range and meaning.

Settings come from a YAML file (`--config`), then `--set section.name=value`, then a command's own options; later ones
win. Names that are not known are refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from cxr_spark.config_errors import describe
from cxr_spark.config_tree import put, read_tree
from cxr_spark.errors import ConfigError
from cxr_spark.yaml_values import parse_yaml


class Section(BaseModel):
    """Base of every group of settings: immutable, unknown names refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _empty_groups(cls, data: Any) -> Any:
        """Takes a group of which only the name stands in a file, all its settings commented out, for not there."""
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


def is_section(annotation: Any) -> bool:
    """Whether a field is a group of settings."""
    return isinstance(annotation, type) and issubclass(annotation, Section)


def _as_list(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


def _from_commas(value: Any) -> Any:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def _as_text(value: Any) -> Any:
    """Writes what YAML took for a number or a truth value as Spark's settings have it."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else value


#: What a training's history measures; see `cxr_spark.training.schedule`.
Metric = Literal["train_loss", "val_loss", "val_macro_auc", "val_micro_auc", "val_accuracy"]
Seed = Annotated[int, Field(ge=0, lt=2**63)]


UncertainPolicy = Literal["zeros", "ones", "ignore"]


class SubsetSettings(Section):
    """Which of the labelled images to take; an image of which it is not known is left out."""

    sex: Literal["F", "M"] | None = Field(None, description="of this sex")
    view_position: Annotated[tuple[Literal["PA", "AP", "LATERAL"], ...], BeforeValidator(_as_list)] = Field(
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

    images: Annotated[tuple[str, ...], BeforeValidator(_as_list)] = Field(
        (), description="folders or globs with the images, searched with all below them"
    )
    labels: Annotated[tuple[str, ...], BeforeValidator(_as_list)] = Field(
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
    seed: Seed = Field(42, description="seed of every draw of splits and samples")
    max_bad_fraction: float = Field(0.01, ge=0, le=1, description="the job fails if more of the images are bad")


class ModelSettings(Section):
    """The network."""

    architecture: str = Field("resnet50", description="one of the names that `import-weights --help` lists")
    weights: str = Field("random", description="random, a URI of imported weights or a model, or a torchvision name")
    input_size: int | None = Field(None, ge=16, le=2048, description="side of the input; default: the architecture's")
    dropout: float = Field(0.0, ge=0, lt=1, description="dropout before the last layer")
    task: Literal["multi_label", "single_label"] = Field(
        "multi_label", description="multi_label: a sigmoid a finding; single_label: one softmax over the classes"
    )
    hidden: tuple[int, ...] = Field((), description="widths of dense layers between the network and its outputs")
    freeze: Literal["none", "backbone"] | dict[Literal["until", "last"], str | int] = Field(
        "none", description="none, backbone, {until: LAYER} or {last: N}: what keeps its weights"
    )


class ScheduleSettings(Section):
    """The learning rate over time: a linear warm-up by step, then a schedule by epoch."""

    warmup_epochs: float = Field(0.0, ge=0, description="epochs over which the rate rises to train.learning_rate")
    warmup_start: float = Field(1e-7, ge=0, description="the rate of the first step of the warm-up")
    kind: Literal["constant", "plateau", "cosine"] = Field("plateau", description="what follows the warm-up")
    metric: Metric = Field("val_loss", description="what a plateau is of")
    factor: float = Field(0.1, gt=0, lt=1, description="a plateau multiplies the rate by this")
    patience: int = Field(2, ge=0, description="epochs without improvement that make a plateau")
    min_delta: float = Field(1e-4, ge=0, description="an improvement is at least this much")
    min_rate: float = Field(1e-8, ge=0, description="the rate never falls below this")


class EarlyStopSettings(Section):
    """When to stop before the last epoch."""

    metric: Metric = Field("val_macro_auc", description="what has to improve")
    patience: int = Field(0, ge=0, description="stop after so many epochs without improvement; 0: never")
    min_delta: float = Field(0.0, ge=0, description="an improvement is more than this")
    targets: dict[Metric, float] = Field({}, description="stop as soon as all of these are reached")


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
    balancing: Literal["none", "class_weights", "upsample"] = Field(
        "none", description="class_weights: in the loss; upsample: images of rare findings are drawn more often"
    )
    class_weights: dict[str, Annotated[float, Field(gt=0)]] = Field(
        {}, description="with balancing=class_weights: weights by finding, in place of the computed ones"
    )
    head_weight_decay: float | None = Field(None, ge=0, description="weight decay of the head, if another one")
    final_model: Literal["best_auc", "best_loss", "best_accuracy", "last"] = Field(
        "best_auc", description="the epoch that becomes the model: the best on the validation images, or the last"
    )
    seed: Seed = Field(42, description="seed of initial weights, order, augmentation and dropout")
    threads_per_worker: int | None = Field(None, ge=1, description="CPU threads of a rank; default: cores it may use")
    max_restarts: int = Field(3, ge=0, description="how often a died job is started again from its last checkpoint")
    checkpoint_every_steps: int = Field(0, ge=0, description="also checkpoint within epochs; 0: after epochs only")
    keep_checkpoints: int = Field(2, ge=1, description="latest checkpoints kept, beside the best ones")
    rank_timeout: float = Field(600, gt=0, description="seconds after which a rank that does not answer is lost")
    start_timeout: float = Field(300, gt=0, description="seconds to wait for the executors that all ranks need")
    schedule: ScheduleSettings = Field(ScheduleSettings(), description="learning rate over time")
    early_stop: EarlyStopSettings = Field(EarlyStopSettings(), description="stop before the last epoch")
    augmentations: tuple[str | dict[str, dict[str, Any] | None], ...] = Field(
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
    seed: Seed = Field(42, description="seed of the bootstrap")


class ExplainSettings(Section):
    """What to explain, and how."""

    split: Literal["train", "val", "test", "all"] = Field("test", description="which split of prepared data to explain")
    only: Literal["all", "boxed"] = Field(
        "all", description="boxed: only images that have a box of the model's findings"
    )
    limit: int | None = Field(None, ge=1, description="explain the first so many images; default: all")
    finding: str = Field("top", description="whose evidence is shown; top: each image's most probable finding")
    layers: Annotated[tuple[str, ...], BeforeValidator(_from_commas)] = Field(
        (), description="layers whose maps are drawn, too, such as layer1,layer4.2.conv3"
    )
    batch: int = Field(16, ge=1, le=4096, description="images per forward pass")
    image_index: Literal["name", "path"] = Field(
        "name", description="what a raw image is called: see score.image_index"
    )
    box_side: int | None = Field(
        1024, ge=1, description="side of the images on which boxes were drawn, pixels; null: they are the images given"
    )
    threshold: float = Field(
        180 / 255, gt=0, lt=1, description="part of a map's maximum from which it counts as overlap with a box"
    )


class PipelineSettings(Section):
    """Which jobs run, and where their outputs go."""

    out: str | None = Field(None, description="folder for the outputs of all jobs: prepared, run, scores, evaluation")
    steps: tuple[Literal["prepare", "train", "score", "evaluate"], ...] = Field(
        ("prepare", "train", "score", "evaluate"), description="jobs in order", min_length=1
    )
    spark: dict[
        Literal["all", "prepare", "train", "score", "evaluate"], dict[str, Annotated[str, BeforeValidator(_as_text)]]
    ] = Field({}, description="Spark settings of all jobs, and of single ones, such as {train: {spark.task.cpus: '8'}}")


class Settings(Section):
    """All settings."""

    prepare: PrepareSettings = Field(PrepareSettings(), description=PrepareSettings.__doc__)
    model: ModelSettings = Field(ModelSettings(), description=ModelSettings.__doc__)
    train: TrainSettings = Field(TrainSettings(), description=TrainSettings.__doc__)
    score: ScoreSettings = Field(ScoreSettings(), description=ScoreSettings.__doc__)
    evaluate: EvaluateSettings = Field(EvaluateSettings(), description=EvaluateSettings.__doc__)
    explain: ExplainSettings = Field(ExplainSettings(), description=ExplainSettings.__doc__)
    pipeline: PipelineSettings = Field(PipelineSettings(), description=PipelineSettings.__doc__)

    @model_validator(mode="after")
    def _check_ranks(self) -> Settings:
        if self.train.global_batch % self.train.workers:
            workers = self.train.workers
            low = self.train.global_batch // workers * workers
            raise ValueError(
                f"train.global_batch {self.train.global_batch} does not divide by train.workers {workers}: use "
                + (f"{low} or {low + workers}" if low else f"{workers}")
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
        return _validated(tree, "the command line")


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
        raise ConfigError(f"{source}: {describe(error, Settings)}") from None
