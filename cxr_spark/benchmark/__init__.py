"""The benchmark job: images per second of prepare, train and score, beside plain loops without Spark."""
