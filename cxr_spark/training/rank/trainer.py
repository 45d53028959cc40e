"""The trainer: the training loop of one rank."""

from __future__ import annotations

import time
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cxr_spark.augmentation.building import augment
from cxr_spark.augmentation.kernels import imagenet_bgr
from cxr_spark.errors import DivergedError
from cxr_spark.models.device import Compute, choose_to_score
from cxr_spark.models.freezing import set_train_mode
from cxr_spark.training import schedule
from cxr_spark.training.balance import class_weights
from cxr_spark.training.checkpoints import Checkpoint, Progress
from cxr_spark.training.rank.average import WeightAverage
from cxr_spark.training.rank.focus import Focus
from cxr_spark.training.rank.loss import Objective
from cxr_spark.training.rank.mixup import blend, draw_weight, partners
from cxr_spark.training.rank.optimizer import make_optimizer, optimizer_state, restore_optimizer, set_rate
from cxr_spark.training.rank.process_group import ProcessGroup
from cxr_spark.training.rank.sampler import Sampler
from cxr_spark.training.rank.shards import Index, Shard
from cxr_spark.training.rank.validation import Validation, validate
from cxr_spark.training.record import EpochResult, Record, close_epoch
from cxr_spark.training.soft_labels import Teacher, soften
from cxr_spark.training.specification import TrainingSpec

#: Seconds between two progress lines in the log.
_TELL_EVERY = 5.0
#: Steps between two checks of the loss on a GPU. To look at every step's loss would make the host wait for the device.
_CHECK_EVERY_ON_GPU = 20


class Trainer:
    """Trains a network on this rank's shard, together with the other ranks.

    Args:
        spec: the training.
        module: the network on its device, with its frozen layers set.
        group: the process group.
        compute: device and precision.
        index: all training images; class weights follow from it.
        sampler: which images this rank trains on.
        train: the training images that the sampler needs, in the order of `Sampler.held`.
        validation: this rank's validation images; empty where the dataset has none.
    """

    def __init__(
        self,
        *,
        spec: TrainingSpec,
        module: nn.Module,
        group: ProcessGroup,
        compute: Compute,
        index: Index,
        sampler: Sampler,
        train: Shard,
        validation: Shard,
    ) -> None:
        self._spec, self._settings = spec, spec.train
        self._module, self._group, self._compute = module, group, compute
        self._train, self._validation = self._softened(train, index.names[sampler.held()]), validation
        self._has_validation = spec.fold is not None or spec.dataset().images("val") > 0
        self._optimizer = make_optimizer(module, spec.train)
        self._average = WeightAverage(module, spec.train.ema_decay) if spec.train.ema_decay else None
        self._augmentations = spec.augmentations()
        self._local_batch = spec.train.global_batch // group.world
        self._sampler, self._held = sampler, sampler.held()
        self.steps_per_epoch = sampler.steps
        self._record = Record(spec, self.steps_per_epoch)
        self._masked = bool(np.isnan(index.labels).any())
        weights = None
        if spec.train.balancing == "class_weights":
            weights = torch.from_numpy(
                class_weights(spec.model.task, index.labels, spec.findings, spec.train.class_weights)
            ).to(compute.device)
        self._objective = Objective(spec.model.task, weights, spec.train.label_smoothing, Focus.of(spec.train))
        self._check_every = 1 if compute.device.type == "cpu" else _CHECK_EVERY_ON_GPU

    def run(self, start: Checkpoint) -> Progress:
        """Trains from a checkpoint to the end.

        Returns:
            The progress at the end.

        Raises:
            DivergedError: the loss is not finite.
        """
        progress = start.progress
        self._module.load_state_dict(start.network)
        if self._average:
            self._average.load(start.model)
        restore_optimizer(self._optimizer, start.optimizer)
        parallel = self._group.parallel(self._module)
        while not progress.finished:
            progress = self._epoch(parallel, progress)
        return progress

    def _epoch(self, parallel: nn.Module, progress: Progress) -> Progress:
        set_train_mode(self._module)
        epoch, began = progress.epoch, time.monotonic() - progress.seconds
        sums = progress.sums[self._group.rank] if progress.sums else (0.0, 0.0)
        totals = torch.tensor(sums, dtype=torch.float64, device=self._compute.device)
        order = self._order(epoch)
        rate = 0.0
        first, told = progress.step, time.monotonic()
        started = told
        for step in range(first, self.steps_per_epoch):
            rate = self._set_rate(progress)
            chosen = order[step * self._local_batch : (step + 1) * self._local_batch]
            totals += self._step(parallel, chosen, epoch, progress.global_step)
            progress = replace(progress, step=step + 1, global_step=progress.global_step + 1)
            if (step + 1) % self._check_every == 0 or step + 1 == self.steps_per_epoch:
                self._check_finite(totals, epoch, step, rate)
                if self._group.rank == 0 and time.monotonic() - told > _TELL_EVERY:
                    told = time.monotonic()
                    loss = float(totals[0] / totals[1].clamp(min=1))
                    self._record.tell(progress, loss, (step + 1 - first) / (told - started))
            every = self._settings.checkpoint_every_steps
            if every and progress.global_step % every == 0 and step + 1 < self.steps_per_epoch:
                progress = replace(progress, sums=self._gather(totals), seconds=time.monotonic() - began)
                if self._group.rank == 0:
                    self._record.save(self._state(progress))
        return self._finish_epoch(progress, totals, rate, began)

    def _softened(self, shard: Shard, names: NDArray[np.object_]) -> Shard:
        """Returns the training images with the labels that are learned: mixed with a teacher's, if there is one."""
        if self._spec.soft_labels is None:
            return shard
        probabilities = Teacher(*self._spec.soft_labels).probabilities(names.tolist(), self._spec.findings)
        return replace(shard, labels=soften(shard.labels, probabilities, self._settings.soft_labels_lambda))

    def _order(self, epoch: int) -> NDArray[np.int64]:
        """Returns the images of an epoch as positions in this rank's shard."""
        return np.searchsorted(self._held, self._sampler.images(epoch))

    def _set_rate(self, progress: Progress) -> float:
        rate = schedule.learning_rate(
            self._settings.schedule,
            self._settings.learning_rate,
            progress.history,
            progress.global_step,
            self.steps_per_epoch,
            self._settings.epochs,
        )
        set_rate(self._optimizer, rate)
        return rate

    def _step(self, parallel: nn.Module, chosen: NDArray[np.int64], epoch: int, global_step: int) -> torch.Tensor:
        """Does one step on the images `chosen`; returns float64 (2,): loss sum and number of labels of this rank."""
        # Dropout repeats after a resume, because its seed follows from the step.
        torch.manual_seed(hash((self._settings.seed, self._group.rank, global_step)) & 0x7FFFFFFFFFFFFFFF)
        labels = torch.from_numpy(self._train.labels[chosen]).to(self._compute.device, non_blocking=True)
        terms = self._objective.terms(labels)
        # DDP averages gradients over the ranks. With masked labels each rank must count by its number of known labels.
        divisor = self._group.sum(terms) / self._group.world if self._masked else terms
        self._optimizer.zero_grad(set_to_none=True)
        micro_batches = np.split(chosen, self._settings.accumulate)
        total = torch.zeros((), device=self._compute.device)
        split_labels = labels.tensor_split(len(micro_batches))
        for number, (images, own_labels) in enumerate(zip(micro_batches, split_labels, strict=True), start=1):
            last = number == len(micro_batches)
            with nullcontext() if last else self._group.without_exchange(parallel):
                mixed = self._weight_of_pairs(global_step, number)
                loss = self._loss(parallel, images, own_labels, epoch, mixed)
                torch.autograd.backward(loss / divisor.clamp(min=1))
            total += loss.detach()
        if self._settings.clip_norm:
            # DDP has averaged the gradients by now, so all ranks scale them by the same factor.
            nn.utils.clip_grad_norm_(self._module.parameters(), self._settings.clip_norm)
        self._optimizer.step()
        if self._average:
            self._average.update(global_step)
        return torch.stack([total, terms]).double()

    def _weight_of_pairs(self, global_step: int, micro_batch: int) -> float | None:
        """Returns the weight of the first image in each blended pair; None where images are not blended."""
        alpha, seed, rank = self._settings.mixup, self._settings.seed, self._group.rank
        return draw_weight(alpha, seed=seed, rank=rank, step=global_step, micro_batch=micro_batch) if alpha else None

    def _loss(
        self, parallel: nn.Module, chosen: NDArray[np.int64], labels: torch.Tensor, epoch: int, mixed: float | None
    ) -> torch.Tensor:
        """Returns the sum of the losses of the images `chosen`, with the gradient to come."""
        shard = self._train
        pixels = torch.from_numpy(shard.pixels[chosen]).to(self._compute.device, non_blocking=True)
        pixels = augment(pixels, self._augmentations, shard.keys[chosen], self._settings.seed, epoch)
        images = imagenet_bgr(pixels, torch.channels_last)
        with self._compute.autocast():
            logits = parallel(images if mixed is None else blend(images, mixed)).float()
        total, _ = self._objective.summed(logits, labels)
        if mixed is None:
            return total
        # Labels are not blended: unknown ones could not be, and each known label counts once in both sums together.
        return mixed * total + (1 - mixed) * self._objective.summed(logits, partners(labels))[0]

    def _check_finite(self, totals: torch.Tensor, epoch: int, step: int, rate: float) -> None:
        if not bool(torch.isfinite(totals[0])):
            raise DivergedError.in_step(epoch, step, rate)

    def _gather(self, totals: torch.Tensor) -> tuple[tuple[float, float], ...]:
        return tuple((a, b) for a, b in self._group.gather_numbers(totals.tolist()))

    def _finish_epoch(self, progress: Progress, totals: torch.Tensor, rate: float, began: float) -> Progress:
        sums = self._gather(totals)
        trained = time.monotonic() - began
        self._group.broadcast_buffers(self._module)
        model = self._module
        if self._average:
            model = self._average.module
            self._group.broadcast_buffers(model)
        reached = Validation(None, None, None, None)
        if self._has_validation:
            reached = validate(
                model,
                self._validation,
                self._group,
                choose_to_score(self._settings.precision, self._group.local_rank),
                self._augmentations,
                self._objective,
                self._local_batch // self._settings.accumulate,
            )
        result = EpochResult(
            train_loss=sum(a for a, _ in sums) / max(1.0, sum(b for _, b in sums)),
            reached=reached,
            learning_rate=rate,
            images=self.steps_per_epoch * self._settings.global_batch,
            train_seconds=trained,
            seconds=time.monotonic() - began,
        )
        progress = close_epoch(progress, self._settings, result)
        if self._group.rank == 0:
            self._record.save_epoch(self._state(progress))
        return progress

    def _state(self, progress: Progress) -> Checkpoint:
        average = self._average.module.state_dict() if self._average else {}
        return Checkpoint(progress, self._module.state_dict(), optimizer_state(self._optimizer), average)
