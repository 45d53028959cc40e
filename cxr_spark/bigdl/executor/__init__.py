"""What Spark's executors do in a BigDL training: they feed images to BigDL, and run the network forward with torch."""
