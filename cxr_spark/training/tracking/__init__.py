"""The tracking of a training by MLflow: its settings, metrics by epoch, and files, logged by the driver."""
