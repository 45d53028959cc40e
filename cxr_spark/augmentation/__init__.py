"""Changes whole batches of images: random augmentations of training images, and their kernels. No Spark."""
