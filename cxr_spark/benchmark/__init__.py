"""The benchmark job: images per second of each step, beside the barest loop that does the same without Spark."""
