"""The style and frame of all pages and plots, the provenance of images, and the curves of a training."""
