"""What Spark's executors do in a BigDL training: they feed images to BigDL, and go over images with torch."""
