"""Subgroups of images by sex, age and view position, and their crossings: is a model as good for them as for others."""
