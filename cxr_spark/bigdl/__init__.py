"""The BigDL backend: the same networks trained inside Spark's executors, by BigDL dllib instead of torch.

Gradients are sent through Spark's own block manager: nothing listens on a port of its own. BigDL's releases have ended,
so this backend has the same interface as the torch backend: settings, history, checkpoints and model are the same.
"""
