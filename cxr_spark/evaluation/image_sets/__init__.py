"""Checked images, in the driver's memory where they are few, else in Spark: one face for both."""
