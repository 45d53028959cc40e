"""Parts of the BigDL backend that need no JVM."""

from __future__ import annotations

import numpy as np
import torch

from cxr_spark.bigdl.engine.methods import Moments, slices
from cxr_spark.bigdl.model.graph import fold
from cxr_spark.bigdl.model.objective import targets, terms_of_batch
from cxr_spark.training.rank.sampler import draw_chances, epoch_order


def test_a_folded_batch_norm_gives_the_same_outputs():
    torch.manual_seed(0)
    conv, norm = torch.nn.Conv2d(3, 5, 3, bias=False), torch.nn.BatchNorm2d(5, eps=1e-3).eval()
    for tensor in (norm.weight.data, norm.bias.data, norm.running_mean):
        tensor.normal_()
    norm.running_var.uniform_(0.5, 2)
    statistics = ("weight", "bias", "running_mean", "running_var")
    arrays = {name: getattr(norm, name).detach().numpy() for name in statistics}
    weight, bias = fold(conv.weight.detach().numpy(), arrays, norm.eps)
    images = torch.randn(2, 3, 8, 8)
    with torch.no_grad():
        expected = norm(conv(images))
        found = torch.nn.functional.conv2d(images, torch.from_numpy(weight), torch.from_numpy(bias))
    assert torch.allclose(found, expected, atol=1e-5)


def test_slices_cover_all_parameters_once():
    assert slices(10, 3) == [(0, 4), (4, 7), (7, 10)]
    assert slices(9, 3) == [(0, 3), (3, 6), (6, 9)]


def test_what_the_optimiser_remembers_survives_a_checkpoint():
    moments = Moments(7, {"s": np.arange(3, dtype=np.float32), "r": np.ones(3, np.float32)})
    found = Moments.from_tensors(moments.tensors())
    assert found.steps == 7
    assert {name: vector.tolist() for name, vector in found.vectors.items()} == {"s": [0, 1, 2], "r": [1, 1, 1]}
    assert Moments.from_tensors({}) is None


def test_masked_labels_count_for_nothing():
    labels = np.array([[1, np.nan, 0], [0, 0, 1]], np.float32)
    weights = np.array([2, 5, 1], np.float32)
    assert terms_of_batch("multi_label", labels, 4) == 10  # 2.5 known labels an image
    expected = [[2, 0, 0, 0, 0, 1], [0, 0, 1, 1, 1, 0]]
    np.testing.assert_array_equal(targets("multi_label", labels, weights, 1.0), expected)
    np.testing.assert_array_equal(targets("single_label", labels, weights, 0.5), [[0, 0, 0], [0, 0, -2]])


def test_an_epoch_goes_through_every_image_in_an_order_of_its_own():
    first, second = (epoch_order(10, 12, seed=1, epoch=epoch, worker=0) for epoch in (0, 1))
    assert sorted(first[:10]) == list(range(10))
    assert first[10:].tolist() == first[:2].tolist()
    assert first.tolist() != second.tolist()


def test_rare_findings_are_drawn_more_often():
    labels = np.zeros((40, 2), np.float32)
    labels[:39, 0], labels[39, 1] = 1, 1
    chances = draw_chances(labels, 30, 40)
    assert chances.sum() == 1.0 or abs(chances.sum() - 1) < 1e-12
    drawn = epoch_order(10, 1000, seed=1, epoch=0, worker=0, chances=chances)
    assert np.bincount(drawn, minlength=10)[9] > 500
