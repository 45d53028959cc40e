"""The BigDL backend: the same networks trained inside Spark's executors, by BigDL dllib instead of torch.

Gradients travel through Spark's own block manager: nothing listens on a port of its own. BigDL's releases have ended,
so it stays behind the interface that the torch backend has: settings, history, checkpoints and model are the same.
"""
