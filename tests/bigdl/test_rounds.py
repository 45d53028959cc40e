"""A round of several steps of BigDL, and a second round that goes on, against torch's optimisers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cxr_spark.augmentation.kernels import imagenet_bgr
from cxr_spark.bigdl.engine.methods import Moments, Rate
from cxr_spark.bigdl.engine.rounds import RoundRunner
from cxr_spark.bigdl.model.network import Network
from cxr_spark.bigdl.model.objective import make_criterion, targets
from cxr_spark.config import TrainSettings
from cxr_spark.models.architectures import build
from cxr_spark.models.freezing import freeze, set_train_mode
from cxr_spark.training.rank.loss import Objective
from tests.bigdl.conftest import ENGINE

IMAGES, STEPS = 12, 4
RATES = {"adam": (Rate(0.003), Rate(0.001)), "sgd": (Rate(0.1), Rate(0.03))}


def batch():
    draw = np.random.default_rng(5)
    pixels = draw.integers(0, 256, (IMAGES, 48, 48), dtype=np.uint8)
    return imagenet_bgr(torch.from_numpy(pixels)), (draw.random((IMAGES, 3)) < 0.4).astype(np.float32)


def of_torch(module, settings, images, labels):
    """The losses of all steps; the module is trained in place."""
    kind = torch.optim.Adam if settings.optimizer == "adam" else torch.optim.SGD
    more = {} if settings.optimizer == "adam" else {"momentum": settings.momentum}
    optimizer = kind([p for p in module.parameters() if p.requires_grad], **more)
    losses = []
    set_train_mode(module)
    for step in range(2 * STEPS):
        optimizer.param_groups[0]["lr"] = RATES[settings.optimizer][step // STEPS].first
        total, terms = Objective("multi_label").summed(module(images), torch.from_numpy(labels))
        optimizer.zero_grad()
        (total / terms).backward()
        optimizer.step()
        losses.append(float(total.detach() / terms))
    return losses


def of_bigdl(spark, cluster, bridge, network, settings, images, labels):
    from bigdl.dllib.utils.common import Sample

    made = targets("multi_label", labels, None, labels.size)
    samples = [Sample.from_ndarray(image, target) for image, target in zip(images.numpy(), made, strict=True)]
    rdd = spark.sparkContext.parallelize(samples, 1)
    run_round = RoundRunner(spark.sparkContext, cluster, settings, make_criterion("multi_label"))
    moments, losses = None, []
    for rate in RATES[settings.optimizer]:  # all images are one batch, so each step sees them all
        moments, found = run_round(network, rdd, STEPS, rate, moments, lambda done, loss: None)
        losses += found.tolist()
        moments = Moments.from_tensors(moments.tensors())  # as a resumed training reads them
    return losses, moments


@pytest.mark.skipif(ENGINE == "mkldnn", reason="mkldnn does not freeze; settings refuse it")
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_steps_of_two_rounds_are_those_of_torch(spark, cluster, bridge, optimizer):
    settings = TrainSettings(optimizer=optimizer, global_batch=IMAGES)
    module = build("googlenet", 3, seed=2)
    freeze(module, {"until": "inception5a"})
    network = Network("googlenet", module, bridge, {})
    network.load(module.state_dict())
    images, labels = batch()
    losses, moments = of_bigdl(spark, cluster, bridge, network, settings, images, labels)
    assert moments.steps == 2 * STEPS
    expected = of_torch(module, settings, images, labels)
    assert expected[-1] < expected[0] - 0.01
    np.testing.assert_allclose(losses, expected, rtol=1e-2 if optimizer == "adam" else 1e-3)
