"""Calibration: whether probabilities are what they say, as they are and after temperature scaling."""
