"""A small network to train from scratch, for one or a few classes of children's pneumonia at 300 x 300 pixels."""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn

#: Filters of the eight convolutions.
_CHANNELS = (8, 16, 32, 64, 128, 256, 512, 1024)
#: Batch norm comes from the third convolution on.
_FIRST_NORM = 2
_DENSE = 1024
#: Keras's default slope of LeakyReLU before 3.0, which the network was published with.
_SLOPE = 0.3


class SmallCNN(nn.Module):
    """Eight 3x3 convolutions, each halving the image, and two dense layers.

    With one output it has 7,352,017 numbers, 7,347,985 of them trained: the rest are the statistics of batch norms.

    Args:
        n_outputs: number of logits.
        dropout: probability of the dropout between the dense layers.
    """

    def __init__(self, n_outputs: int = 1000, dropout: float = 0.0) -> None:
        super().__init__()
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        before = 3
        for i, channels in enumerate(_CHANNELS):
            layers[f"conv{i}"] = nn.Conv2d(before, channels, 3, padding=1)
            layers[f"relu{i}"] = nn.LeakyReLU(_SLOPE)
            if i >= _FIRST_NORM:
                layers[f"norm{i}"] = nn.BatchNorm2d(channels)
            layers[f"pool{i}"] = nn.MaxPool2d(2)
            before = channels
        self.features = nn.Sequential(layers)
        self.average = nn.AdaptiveAvgPool2d(1)  # of one position at 300 x 300; larger images have more
        self.dense = nn.Linear(before, _DENSE)
        self.relu = nn.LeakyReLU(_SLOPE)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(_DENSE, n_outputs)

    def forward(self, images: Tensor) -> Tensor:
        """Maps images (N, 3, H, W), sides of 256 pixels or more, to logits (N, n_outputs)."""
        features = self.average(self.features(images)).flatten(1)
        logits: Tensor = self.classifier(self.dropout(self.relu(self.dense(features))))
        return logits
