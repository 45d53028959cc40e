"""Spark sessions, Java, processes and tasks: what runs a job."""
