"""Schemas of the tables that one job writes and another reads, and the prepared dataset."""
