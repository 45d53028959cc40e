"""What makes a job safe to run again: an output folder that one run at a time holds, and a mark on finished work."""
