"""Settings of the training."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from cxr_spark.config.precision import Precision
from cxr_spark.config.section import Metric, Section, Seed
from cxr_spark.config.tracking import MlflowSettings

#: What computes in BigDL: MKL's matrix products, with one copy of the network for each core, or oneDNN, with one copy
#: for each executor.
Engine = Literal["mklblas", "mkldnn"]


class ScheduleSettings(Section):
    """The learning rate over time: it rises linearly from step to step, then follows a schedule by epoch."""

    warmup_epochs: float = Field(
        0.0, ge=0, le=100_000, description="number of epochs in which the rate rises to train.learning_rate"
    )
    warmup_start: float = Field(1e-7, ge=0, le=1e6, description="learning rate of the first step of the warm-up")
    kind: Literal["constant", "plateau", "cosine", "one_cycle"] = Field(
        "plateau",
        description="what the learning rate does after the warm-up; one_cycle rises and falls by itself, step by step",
    )
    metric: Metric = Field("val_loss", description="the metric that is watched for a plateau")
    factor: float = Field(0.1, gt=0, lt=1, description="the learning rate is multiplied by this at a plateau")
    patience: int = Field(
        2, ge=0, le=100_000, description="number of epochs without improvement after which a plateau is reached"
    )
    min_delta: float = Field(
        1e-4, ge=0, le=1e6, description="smallest change of the metric that counts as an improvement"
    )
    min_rate: float = Field(1e-8, ge=0, le=1e6, description="the learning rate never falls below this")

    @model_validator(mode="after")
    def _one_rise(self) -> ScheduleSettings:
        if self.kind == "one_cycle" and self.warmup_epochs:
            raise ValueError(
                f"kind=one_cycle rises by itself, and warmup_epochs is {self.warmup_epochs:g}: leave it at 0, or use "
                "kind=cosine, which falls from the end of the warm-up on"
            )
        return self


class EarlyStopSettings(Section):
    """When a training stops before its last epoch."""

    metric: Metric = Field("val_macro_auc", description="the metric that has to improve")
    patience: int = Field(
        0, ge=0, le=100_000, description="number of epochs without improvement after which the training stops; 0: never"
    )
    min_delta: float = Field(0.0, ge=0, le=1e6, description="a change of the metric must be larger than this to count")
    targets: dict[Metric, Annotated[float, Field(ge=0, le=1e30)]] = Field(
        {}, description="the training stops as soon as each of these metrics has reached its value"
    )


class AsymmetricSettings(Section):
    """The asymmetric loss (Ridnik et al. 2021): easy negative labels count less than easy positive ones."""

    gamma_positive: float = Field(
        1.0, ge=0, le=100, description="power by which positive labels count less the surer the network is of them"
    )
    gamma_negative: float = Field(
        4.0, ge=0, le=100, description="power by which negative labels count less the surer the network is of them"
    )
    margin: float = Field(
        0.05, ge=0, lt=1, description="negative labels with a probability below this do not count at all"
    )


class TrainSettings(Section):
    """How to train."""

    backend: Literal["torch", "bigdl"] = Field(
        "torch", description="the library that trains; docs/bigdl.md says when to use bigdl"
    )
    bigdl_engine: Engine = Field(
        "mklblas", description="the engine of BigDL; mkldnn is faster, but cannot freeze layers"
    )
    workers: int = Field(
        1, ge=1, le=100_000, description="number of training processes (ranks); on a cluster each is one Spark task"
    )
    epochs: int = Field(15, ge=1, le=100_000, description="number of passes over the training images")
    global_batch: int = Field(64, ge=1, le=2**20, description="number of images in one step, over all ranks")
    accumulate: int = Field(
        1,
        ge=1,
        le=2**20,
        description="number of equal parts in which a rank goes through its images of a step, to save memory",
    )
    optimizer: Literal["adam", "adamw", "sgd", "rmsprop"] = Field("adam", description="the optimiser")
    learning_rate: float = Field(1e-4, gt=0, le=1e30, description="learning rate after the warm-up, if there is one")
    layer_decay: float = Field(
        1.0,
        gt=0,
        le=1,
        description="the learning rate of a block is that of the next one, nearer to the head, times this, such as "
        "0.75; 1: all blocks learn at the same rate",
    )
    weight_decay: float = Field(
        0.0, ge=0, le=1e6, description="weight decay of all weights except biases and normalisation layers"
    )
    momentum: float = Field(0.9, ge=0, lt=1, description="momentum of the optimisers sgd and rmsprop")
    loss: Literal["bce", "focal", "asymmetric"] = Field(
        "bce",
        description="the loss of a label: bce: cross-entropy; focal and asymmetric: labels of which the network is "
        "sure count less",
    )
    focal_gamma: float = Field(
        2.0, ge=0, le=100, description="power by which labels count less with loss=focal; 0: cross-entropy"
    )
    asymmetric: AsymmetricSettings = Field(AsymmetricSettings(), description="the loss with loss=asymmetric")
    label_smoothing: float = Field(
        0.0, ge=0, lt=1, description="part of every label that is spread evenly over all answers, such as 0.05"
    )
    soft_labels: str | None = Field(
        None,
        description="URI of an output of score, whose probabilities of the training images are mixed into their labels",
    )
    soft_labels_lambda: float = Field(
        0.5, ge=0, le=1, description="part that the probabilities of soft_labels have in a label; 0: the labels alone"
    )
    mixup: float = Field(
        0.0,
        ge=0,
        le=100,
        description="images of a step are blended in pairs, with parts drawn from a Beta distribution with this twice, "
        "such as 0.2; 0: never",
    )
    clip_norm: float = Field(
        0.0,
        ge=0,
        le=1e9,
        description="gradients are scaled down to this global norm in every step, where they are larger; 0: never",
    )
    ema_decay: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="decay of a moving average of the weights over the steps, such as 0.999, which is validated and "
        "becomes the model; 0: none",
    )
    precision: Precision = Field(
        "auto",
        description="number format of the computation; auto: bf16 in the steps where the hardware is faster with it, "
        "and fp32 on the validation images, as in score",
    )
    balancing: Literal["none", "class_weights", "upsample"] = Field(
        "none",
        description="how rare findings get more weight; class_weights: in the loss; upsample: their images are drawn "
        "more often",
    )
    class_weights: dict[str, Annotated[float, Field(gt=0, le=1e9)]] = Field(
        {},
        description="weight of each finding with balancing=class_weights, such as {Hernia: 5}; default: computed",
    )
    head_weight_decay: float | None = Field(
        None, ge=0, le=1e6, description="weight decay of the last layers (the head); default: train.weight_decay"
    )
    final_model: Literal["best_auc", "best_loss", "best_accuracy", "last"] = Field(
        "best_auc", description="which epoch becomes the model: the best on the validation images, or the last one"
    )
    seed: Seed = Field(42, description="seed of initial weights, order of images, augmentation and dropout")
    threads_per_worker: int | None = Field(
        None, ge=1, le=100_000, description="number of CPU threads of a rank; default: the cores that it may use"
    )
    max_restarts: int = Field(
        3, ge=0, le=100_000, description="how often a training that died is started again from its last checkpoint"
    )
    checkpoint_every_steps: int = Field(
        0,
        ge=0,
        le=2**40,
        description="number of steps after which a checkpoint is written, too; 0: only after each epoch",
    )
    keep_checkpoints: int = Field(
        2, ge=1, le=100_000, description="number of the latest checkpoints that are kept beside the best ones"
    )
    rank_timeout: float = Field(
        600, gt=0, le=10**7, description="seconds after which a rank that does not answer counts as lost"
    )
    start_timeout: float = Field(
        300, gt=0, le=10**7, description="seconds to wait until there are executors for all ranks"
    )
    storage: Literal["checked", "trusted"] = Field(
        "checked", description="whether files of prepared data are compared with their SHA-256: see score.storage"
    )
    schedule: ScheduleSettings = Field(ScheduleSettings(), description="the learning rate over time")
    early_stop: EarlyStopSettings = Field(
        EarlyStopSettings(), description="when a training stops before its last epoch"
    )
    mlflow: MlflowSettings = Field(
        MlflowSettings(), description="where the training is tracked by MLflow, beside its own files; default: nowhere"
    )
    augmentations: tuple[str | dict[str, dict[str, Any] | None], ...] = Field(
        ({"random_horizontal_flip": {"p": 0.5}},),
        description="random changes of the training images, drawn anew for each image in each epoch",
    )
