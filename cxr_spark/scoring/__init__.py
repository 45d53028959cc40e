"""The score job: prepared or raw images and a model in, probabilities of every finding out."""
