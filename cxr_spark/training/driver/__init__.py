"""The driver's side of a training: cluster checks, launch of the ranks, and what becomes of their result."""
