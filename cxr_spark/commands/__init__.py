"""The commands of `cxr-spark`, one module each, imported when it runs."""
