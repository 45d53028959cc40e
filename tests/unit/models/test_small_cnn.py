import torch

from cxr_spark.models.architectures import build


def test_it_has_the_published_number_of_parameters():
    network = build("small_cnn", 1, dropout=0.2)
    trained = sum(p.numel() for p in network.parameters())
    statistics = sum(b.numel() for name, b in network.named_buffers() if name.endswith(("running_mean", "running_var")))
    assert trained == 7_347_985
    assert trained + statistics == 7_352_017


def test_it_takes_images_of_300_pixels():
    assert build("small_cnn", 3).eval()(torch.zeros(2, 3, 300, 300)).shape == (2, 3)
