"""The driver's side of a training: it checks the cluster, launches the ranks and turns their result into a model."""
