"""The page and the curves of a training, renewed by the driver after every epoch."""
