"""Image stages: pure batch kernels, and the Spark ML stages that own them."""
