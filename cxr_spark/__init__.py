"""Training and running chest X-ray classifiers on Spark."""

import importlib
import sys

__version__ = "0.1.0"

# By name, since only saved Spark ML pipelines need it; see there.
sys.meta_path.append(importlib.import_module("cxr_spark.spark_ml.former_names").FormerNames())
