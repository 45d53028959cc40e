"""The code that every training rank runs. Nothing here needs Spark."""
