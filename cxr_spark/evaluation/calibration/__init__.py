"""Calibration: whether probabilities are what they say, before and after temperatures or isotonic curves."""
