"""Training: the driver plans, starts and finishes it; every rank runs the same loop."""
