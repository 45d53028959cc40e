"""Scoring: the probabilities of every finding for prepared or raw images."""
