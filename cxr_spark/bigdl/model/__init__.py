"""The network and its loss as BigDL has them: graphs, weights that are copied in and out, criteria."""
