"""Shows what a prepared dataset holds: counts by Spark, plots and a page."""
