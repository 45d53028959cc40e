"""What every training rank runs. Nothing here needs Spark."""
