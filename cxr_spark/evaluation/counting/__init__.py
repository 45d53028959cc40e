"""Exact counts behind curves, AUCs and their bootstrap intervals, on executors and on the driver."""
