"""Decisions at operating points: confusion counts, precision, recall and F1."""
