"""The benchmark job: images per second of each step, beside a plain loop that does the same without Spark."""
