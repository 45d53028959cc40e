"""Training: a loop that every rank runs, and the driver's side that plans, starts and finishes it."""
