"""Random augmentations and deterministic kernels on whole batches of images. Nothing here needs Spark."""
