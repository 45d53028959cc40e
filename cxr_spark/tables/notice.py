"""The name of the file that marks a data set as synthetic. All jobs that read such a set, or results of it, know it."""

NOTICE_NAME = "SYNTHETIC.txt"
