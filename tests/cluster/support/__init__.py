"""Real servers for the cluster tests: hosts of their own, HDFS, YARN, Spark standalone."""
