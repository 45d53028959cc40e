"""A range test on one rank: the steps of a training, each with a higher learning rate than the one before."""

from __future__ import annotations

import math

from cxr_spark.models.freezing import set_train_mode
from cxr_spark.training.checkpoints import Checkpoint
from cxr_spark.training.range_test.plan import RangePlan, TriedRate, has_diverged
from cxr_spark.training.rank.optimizer import restore_optimizer, set_rate
from cxr_spark.training.rank.trainer import Trainer


class RangeTester(Trainer):
    """A trainer that can also do its steps by a plan of rates, with the same images and augmentations."""

    def try_rates(self, start: Checkpoint, plan: RangePlan) -> list[TriedRate]:
        """Trains from a checkpoint, which stays as it is, until the plan ends or the loss has diverged.

        Returns:
            The steps with a finite loss, the same on every rank.
        """
        self._module.load_state_dict(start.network)
        restore_optimizer(self._optimizer, start.optimizer)
        parallel = self._group.parallel(self._module)
        set_train_mode(self._module)
        tried: list[TriedRate] = []
        for step in range(plan.steps):
            epoch, place = divmod(step, self.steps_per_epoch)
            if place == 0:  # this rank holds the images of the training's epochs alone
                order = self._order(epoch % self._settings.epochs)
            rate = plan.rate(step)
            set_rate(self._optimizer, rate)
            chosen = order[place * self._local_batch : (place + 1) * self._local_batch]
            sums = self._gather(self._step(parallel, chosen, epoch, step))
            loss = sum(loss for loss, _ in sums) / max(1.0, sum(labels for _, labels in sums))
            if not math.isfinite(loss):
                break
            tried.append(TriedRate(learning_rate=rate, loss=loss))
            if has_diverged([each.loss for each in tried], plan):
                break
        return tried
