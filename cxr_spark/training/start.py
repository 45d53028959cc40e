"""The start of a training: all that is checked, decided and written before its ranks run."""

from __future__ import annotations

import copy
import logging
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from cxr_spark.augmentation.building import from_config, output_size
from cxr_spark.augmentation.kinds import BatchAugmentation
from cxr_spark.config import MlflowSettings, Settings
from cxr_spark.errors import ConfigError, DataError
from cxr_spark.models.architectures import architecture, batch_norm_epsilon_of, build, check_input_size
from cxr_spark.models.freezing import freeze, set_train_mode
from cxr_spark.models.initial_weights import load_initial_weights, resolve_weights
from cxr_spark.models.stochastic_depth import set_stochastic_depth
from cxr_spark.outputs.claim import digest
from cxr_spark.tables.prepared import MAY_SHARE_PATIENTS, PreparedDataset
from cxr_spark.tables.schema import TRAIN, VALIDATION
from cxr_spark.training.balance import check_names
from cxr_spark.training.checkpoints import Checkpoint, Checkpoints, Progress
from cxr_spark.training.extension import set_end, steps_digest
from cxr_spark.training.folds import Fold
from cxr_spark.training.rank.shards import read_index
from cxr_spark.training.soft_labels import Teacher
from cxr_spark.training.specification import TrainingSpec

log = logging.getLogger(__name__)

#: These settings change how fast or how safely a training runs, but not its result.
_NOT_IN_RESULT = {
    "max_restarts",
    "checkpoint_every_steps",
    "keep_checkpoints",
    "rank_timeout",
    "start_timeout",
    "storage",
    "mlflow",
}
#: Settings that version 0.1 did not have. At their defaults they change nothing, so a training that was begun without
#: them goes on with them.
_MODEL_SINCE_0_1 = ("stochastic_depth",)
_TRAIN_SINCE_0_1 = (
    *("loss", "focal_gamma", "asymmetric", "label_smoothing", "clip_norm", "ema_decay", "accumulate"),
    *("layer_decay", "mixup", "soft_labels", "soft_labels_lambda"),
)


def fingerprint(
    settings: Settings, dataset: PreparedDataset, teacher: Teacher | None = None, fold: Fold | None = None
) -> dict[str, Any]:
    """Returns, as JSON values, all that decides the result of a training.

    Args:
        settings: the sections `model` and `train` are used.
        dataset: the prepared dataset to train on.
        teacher: what `train.soft_labels` names.
        fold: the training's part in a cross-validation.
    """
    return {
        **({"fold": fold.model_dump()} if fold else {}),
        **({"soft_labels": teacher.sha256} if teacher else {}),
        "data": dataset.store.uri,
        "data_manifest": digest(dataset.manifest),
        "model": settings.model.model_dump(mode="json", exclude=settings.model.at_default(*_MODEL_SINCE_0_1)),
        "train": settings.train.model_dump(
            mode="json", exclude=_NOT_IN_RESULT | settings.train.at_default(*_TRAIN_SINCE_0_1)
        ),
    }


def start_training(
    settings: Settings,
    dataset: PreparedDataset,
    run_uri: str,
    *,
    threads: int,
    lock_token: str | None,
    default_fs: str,
    fold: Fold | None = None,
) -> TrainingSpec:
    """Checks settings and data of a training, writes its first checkpoint, and returns what its ranks must know.

    Where there are checkpoints already, they are checked to be of this very training, or of a shorter one that it goes
    on with, and only its end is set anew.

    Args:
        settings: all settings; the sections `model` and `train` are used.
        dataset: the prepared dataset to train on.
        run_uri: URI of the run's folder.
        threads: number of CPU threads of a rank.
        lock_token: token of the lock that the caller holds on the run's folder.
        default_fs: the file system that bare paths in the settings belong to.
        fold: the training's part in a cross-validation, whose folds and soft labels the caller has checked; None for
            one training.

    Raises:
        ConfigError: settings contradict each other, or the checkpoints were made with other settings.
        DataError: there are not enough training images, or soft labels do not fit them.
    """
    train, model = settings.train, settings.model
    if fold is None:
        _check_images(dataset, train.workers)
    teacher = Teacher.of(train, default_fs)
    if teacher and fold is None:
        teacher.probabilities(read_index(dataset, TRAIN).names.tolist(), dataset.findings)
    augmentations = from_config(train.augmentations)
    known = architecture(model.architecture)
    input_size = model.input_size or known.input_size
    check_input_size(model.architecture, input_size)
    held = held_side(dataset.size, input_size, augmentations)
    check_names(train.class_weights, dataset.findings)
    weights = resolve_weights(model.weights, model.architecture, default_fs=default_fs)
    epsilon = weights.header.batch_norm_epsilon if weights else None
    module = build(
        model.architecture,
        len(dataset.findings),
        dropout=model.dropout,
        hidden=model.hidden,
        batch_norm_epsilon=epsilon,
        seed=train.seed,
    )
    set_stochastic_depth(module, model.stochastic_depth, model.architecture)
    frozen = freeze(module, model.freeze)
    if train.backend == "torch" and train.global_batch == train.workers * train.accumulate:
        _check_batch_of_one(module, input_size, settings)
    if frozen and weights is None:
        log.warning(
            "model.freeze keeps %d layers as they are, and model.weights=random leaves them untrained: a deep network "
            "then gives all images the same score; give weights to start from, or model.freeze=none",
            len(frozen),
        )
    spec = TrainingSpec(
        run_uri=run_uri,
        data_uri=dataset.store.uri,
        findings=dataset.findings,
        prepared_size=dataset.size,
        held_size=held,
        input_size=input_size,
        batch_norm_epsilon=batch_norm_epsilon_of(module),
        model=model,
        train=train.model_copy(update={"mlflow": MlflowSettings()}),  # ranks track nothing, and need no password
        threads=threads,
        lock_token=lock_token,
        soft_labels=(teacher.uri, teacher.sha256) if teacher else None,
        fold=fold,
    )
    checkpoints = Checkpoints(spec.checkpoints, train.keep_checkpoints)
    asked = fingerprint(settings, dataset, teacher, fold)
    mark = steps_digest(asked)
    manifest = checkpoints.manifest()
    if manifest is None:
        if weights:
            load_initial_weights(module, weights, findings=dataset.findings)
        else:
            log.warning(
                "model.weights=random: the network starts untrained, and mostly ends with lower AUCs than one that "
                "starts from ImageNet's weights: name some by model.weights"
            )
        checkpoints.save(Checkpoint(Progress(), module.state_dict()), ("last",), mark)
    elif manifest.get("fingerprint") not in (mark, digest(asked)):  # the latter is of version 0.1
        raise ConfigError(
            f"{spec.checkpoints.uri} holds checkpoints of other settings or data: choose another --out, or say "
            "--overwrite to start anew"
        )
    else:
        set_end(checkpoints, train)
    return spec


def _check_batch_of_one(module: nn.Module, input_size: int, settings: Settings) -> None:
    """Refuses one image a step and rank for a network that cannot be trained so.

    A batch norm over maps of one pixel has a single value of one image, whose variance means nothing. Whether a network
    comes to such maps depends on its input size, so one step forward is tried, on a copy.

    Raises:
        ConfigError: it cannot.
    """
    trial = copy.deepcopy(module)
    set_train_mode(trial)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        try:
            trial(torch.zeros(1, 3, input_size, input_size))
        except ValueError as error:
            train = settings.train
            divided = f"train.workers={train.workers}"
            if train.accumulate > 1:
                divided += f" and train.accumulate={train.accumulate}"
            raise ConfigError(
                f"train.global_batch={train.global_batch} with {divided} gives a rank one image a step, and the batch "
                f"norms of {settings.model.architecture} at {input_size} x {input_size} need more ({error}): let "
                f"train.global_batch be {2 * train.workers * train.accumulate} or more"
            ) from None


def held_side(prepared_size: int, input_size: int, augmentations: Sequence[BatchAugmentation]) -> int:
    """Returns the side at which images are held in training, pixels.

    A rank resizes images to the network's input once, when it reads them. Where an augmentation cuts the input out of a
    larger image, it keeps them as they were prepared.

    Raises:
        ConfigError: the augmentations do not make images of the network's input size.
    """
    cuts = any(a.fixed_size is not None for a in augmentations)
    side = prepared_size if cuts else input_size
    try:
        result = output_size(augmentations, (side, side))
    except DataError as error:
        raise ConfigError(f"train.augmentations: {error}") from None
    if result != (input_size, input_size):
        raise ConfigError(
            f"train.augmentations make images of {result[0]} x {result[1]} from {side} x {side}, but model.input_size "
            f"is {input_size}: make them agree"
        )
    return side


def _check_images(dataset: PreparedDataset, workers: int) -> None:
    for split, least in ((TRAIN, workers), (VALIDATION, 0)):
        found = dataset.images(split)
        if found < least or (split == TRAIN and found == 0):
            raise DataError(
                f"split {split!r} of {dataset.store.uri} has {found} images, fewer than the {workers} workers: prepare "
                "more images, or lower --workers"
            )
    dataset.files(TRAIN)
    if dataset.may_share_patients:
        log.warning("%s", MAY_SHARE_PATIENTS)
    counts = dataset.manifest["splits"][TRAIN].get("findings")
    missing = [name for name, count in counts.items() if count == 0] if isinstance(counts, dict) else []
    if missing:
        log.warning(
            "%d findings have no training image, so that the model cannot learn them: %s; check the split of the "
            "prepared data",
            len(missing),
            ", ".join(missing[:20]),
        )
