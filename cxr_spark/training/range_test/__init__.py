"""The learning-rate range test of `train --find-rate`."""
