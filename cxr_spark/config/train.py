"""Settings of the training."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from cxr_spark.config.section import Metric, Section, Seed

#: Of BigDL: MKL's matrix products, one copy of the network a core; or oneDNN, one copy an executor.
Engine = Literal["mklblas", "mkldnn"]


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

    backend: Literal["torch", "bigdl"] = Field("torch", description="what trains; docs/bigdl.md says when bigdl")
    bigdl_engine: Engine = Field("mklblas", description="what computes in BigDL; mkldnn is faster and does not freeze")
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
