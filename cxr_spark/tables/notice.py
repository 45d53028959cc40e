"""The file that marks a data set as synthetic, for every job that reads the set or what was made of it."""

NOTICE_NAME = "SYNTHETIC.txt"
