"""Readers of the public chest X-ray datasets' label files, and the assignment of images to splits."""
