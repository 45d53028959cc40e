"""The mean of ImageNet's training images, which every network's input is taken relative to."""

from __future__ import annotations

#: Mean of the ImageNet training images in blue, green, red order, 0..255: the preprocessing of He's Caffe ResNets
#: (https://github.com/KaimingHe/deep-residual-networks), taken over by Keras as `preprocess_input` in "caffe" mode.
IMAGENET_MEAN_BGR: tuple[float, float, float] = (103.939, 116.779, 123.68)
