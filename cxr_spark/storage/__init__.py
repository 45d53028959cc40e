"""One Store for every file system: local disks, HDFS and object stores."""
