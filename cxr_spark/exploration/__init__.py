"""What is in a prepared dataset: counts by Spark, plots and a page."""
