"""Training and running chest X-ray classifiers on Spark."""

__version__ = "0.1.0"
