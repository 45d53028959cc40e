"""Evaluates predictions of any number of images: AUCs with intervals, average precision, subgroups and the report."""
